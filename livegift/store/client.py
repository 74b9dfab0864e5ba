"""A client for one Redis node or a cluster.

redis-py retries a timed-out command ten times by default. Here nothing is ever repeated behind the caller's back: a
`Link` is one connection that is used by one task, has a deadline for every exchange and never reconnects by itself.

Every call has one deadline that counts from the call and includes waiting for a turn, connecting, writing and reading.
Errors distinguish commands that were certainly not executed (`executed=False`) from those whose outcome is unknown
(`executed=None`); an error reply of Redis is a third case.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    RedisError,
    ResponseError,
)

from livegift.contract.errors import ConfigError, StoreUnavailableError
from livegift.runtime.bounds import CLUSTER_ASK_TIMEOUT_S, REDIS_CONNECT_TIMEOUT_S, REDIS_POOL_MAX, REDIS_TIMEOUT_S
from livegift.store.breaker import Breaker
from livegift.store.keys import slot
from livegift.store.layout import Layout, parse_layout
from livegift.store.link import Command, Link, plain

VERSION_MIN = (7, 2)
REFRESH_PERIOD_S = 1.0


class Node:
    """A primary, or a replica, which is only asked for the cluster's layout."""

    def __init__(self, options: dict[str, Any], host: str, port: int) -> None:
        """Prepare the connections. `options` are redis-py's connection arguments without host and port."""
        self.name = f"{host}:{port}"
        self.host = host
        self.breaker = Breaker()
        self._options = {**options, "host": host, "port": port}
        self._connection_class = self._options.pop("connection_class", Connection)
        pool = BlockingConnectionPool(
            max_connections=REDIS_POOL_MAX,
            timeout=REDIS_TIMEOUT_S,
            connection_class=self._connection_class,
            **self._options,
        )
        self.commands: Redis = Redis(connection_pool=pool)
        self._shared = self.link()
        self._turn = asyncio.Lock()

    async def exchange(self, commands: Sequence[Command], deadline_s: float = REDIS_TIMEOUT_S) -> list[Any]:
        """Send commands like `Link.exchange`, on a connection that the process shares and opens when needed."""
        is_sent = False
        try:
            async with asyncio.timeout(deadline_s), self._turn:
                if not await self._shared.is_ready():
                    self._shared = await self.link().open()
                is_sent = True
                return await self._shared.exchange(commands, deadline_s)
        except TimeoutError as error:
            message = f"no reply from Redis at {self.name} within {deadline_s:g} s"
            raise StoreUnavailableError(message, executed=None if is_sent else False) from error

    async def run(self, command: Command, deadline_s: float = REDIS_TIMEOUT_S) -> Any:
        """Run one command on a pooled connection, once, and return its reply.

        Raises StoreUnavailableError, StoreRefusedError (certainly not executed), or redis-py's MovedError and AskError.
        """
        pool, is_sent = self.commands.connection_pool, False
        try:
            async with asyncio.timeout(deadline_s):
                connection = await pool.get_connection()
                try:
                    is_sent = True
                    await connection.send_command(*command, check_health=False)
                    return await self.commands.parse_response(connection, str(command[0]))
                finally:
                    await pool.release(connection)
        except AskError:
            raise
        except (ResponseError, AuthenticationError, BusyLoadingError) as error:
            raise _refusal(error) from error
        except (RedisError, OSError) as error:
            message = f"Redis at {self.name} did not answer: {plain(error)}"
            raise StoreUnavailableError(message, executed=None if is_sent else False) from error

    def check(self) -> None:
        """Raise StoreUnavailableError at once when the breaker is open, so that nobody waits for the node."""
        if self.breaker.is_open:
            raise StoreUnavailableError(f"Redis at {self.name} is away: {self.breaker.reason}", executed=False)

    def link(self) -> Link:
        """Return a new link of the caller's own, not open yet. Its only deadlines are those of its calls."""
        return Link(self._connection_class(**{**self._options, "socket_timeout": None}))

    async def aclose(self) -> None:
        """Close all connections to the node."""
        await self._shared.close()
        await self.commands.aclose()
        await self.commands.connection_pool.disconnect()


class Store:
    """The nodes of a store, and which of them owns a key."""

    def __init__(self, url: str) -> None:
        """Prepare a store without connecting. `url` is that of a single node or of any node of a cluster."""
        parsed = parse_url(url)
        self._host, self._port = str(parsed.pop("host", "localhost")), int(parsed.pop("port", 6379))
        self._options: dict[str, Any] = {
            **parsed,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_CONNECT_TIMEOUT_S,
            "health_check_interval": 0,
        }
        self.is_cluster = False
        self._nodes: dict[str, Node] = {}
        self._owners: list[Node] = []
        self._primaries: tuple[Node, ...] = ()
        self._members: list[Node] = []  # including replicas: they know when their primary is gone
        self._refreshed_at = -REFRESH_PERIOD_S

    @classmethod
    async def connect(cls, url: str) -> "Store":
        """Connect and learn the layout. Raises StoreUnavailableError or ConfigError (Redis too old, wrong password)."""
        store = cls(url)
        try:
            await store._learn()
        except BaseException:
            await store.aclose()
            raise
        return store

    async def _learn(self) -> None:
        seed = self._node(self._host, self._port)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                server = await seed.commands.info("server")
                cluster = await seed.commands.info("cluster")
        except AuthenticationError as error:
            raise ConfigError(f"Redis at {seed.name} refused the user or password of LIVEGIFT_REDIS_URL") from error
        except (RedisError, OSError) as error:
            message = f"Redis at {seed.name} can't be reached: {plain(error)}"
            raise StoreUnavailableError(message, executed=False) from error
        # Valkey reports its own version apart from the Redis version that it is compatible with.
        version = str(server.get("valkey_version") or server["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
            raise ConfigError(f"expected Redis or Valkey 7.2 or newer (for WAITAOF), {seed.name} is {version}")
        self.is_cluster = bool(cluster.get("cluster_enabled"))
        self._owners = self._members = [seed]
        self._primaries = (seed,)
        if self.is_cluster:
            await self._learn_layout(REDIS_TIMEOUT_S)

    def _node(self, host: str, port: int) -> Node:
        name = f"{host}:{port}"
        if name not in self._nodes:
            self._nodes[name] = Node(self._options, host, port)
        return self._nodes[name]

    async def refresh(self) -> None:
        """Refresh a cluster's layout (at most once a second). Raises StoreUnavailableError."""
        now = asyncio.get_running_loop().time()
        if not self.is_cluster or now - self._refreshed_at < REFRESH_PERIOD_S:
            return
        self._refreshed_at = now
        await self._learn_layout(CLUSTER_ASK_TIMEOUT_S)

    async def _learn_layout(self, deadline_s: float) -> None:
        """Ask all nodes at once and use the newest layout: a primary that was cut off is the last to learn of it."""
        answers = await asyncio.gather(*(_layout_by(node, deadline_s) for node in self._members))
        layouts = [layout for layout in answers if layout is not None]
        if not layouts:
            raise StoreUnavailableError("no node of the cluster knows its complete layout", executed=False)
        newest = max(layouts, key=lambda layout: layout.epoch)
        nodes = {address: self._node(*address) for address in newest.members}
        self._owners = [nodes[owner] for owner in newest.owners]
        self._primaries = tuple(dict.fromkeys(self._owners))
        self._members = list(dict.fromkeys([*nodes.values(), self._node(self._host, self._port)]))

    @property
    def nodes(self) -> list[Node]:
        """Return the primaries."""
        return list(self._primaries)

    def is_primary(self, node: Node) -> bool:
        """Return whether `node` owns any keys."""
        return node in self._primaries

    def node_of(self, key: str) -> Node:
        """Return the primary that owns `key`."""
        return self._owners[slot(key)] if self.is_cluster else self._owners[0]

    async def call(self, command: Command) -> Any:
        """Run one function call (`FCALL`, name, 1, root, …) on the owner of its root, once.

        Raises what `call_plain` does.
        """
        return await self.call_plain(str(command[3]), command)

    async def call_plain(self, key: str, command: Command) -> Any:
        """Run one command on the owner of `key`, once, and return its reply.

        Raises StoreUnavailableError (whether it was executed is unknown) or StoreRefusedError (it certainly was not).
        """
        node = self.node_of(key)
        node.check()
        try:
            return await node.run(command)
        except AskError as error:  # MovedError is one
            await self.refresh()
            raise StoreUnavailableError(f"{key} has moved", executed=False) from error

    async def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """Run function calls of any roots, in one exchange per node; returns a reply or an exception for each.

        A dead node affects only its own commands: their replies are StoreUnavailableError.
        """
        return await self.call_plain_many([str(command[3]) for command in commands], commands)

    async def call_plain_many(self, keys: Sequence[str], commands: Sequence[Command]) -> list[Any]:
        """Run each command on the owner of its key, otherwise like `call_many`."""
        by_node: dict[Node, list[int]] = {}
        for index, key in enumerate(keys):
            by_node.setdefault(self.node_of(key), []).append(index)
        replies: list[Any] = [None] * len(commands)

        async def run(node: Node, indices: list[int]) -> None:
            try:
                node.check()
                answers = await node.exchange([commands[index] for index in indices])
            except StoreUnavailableError as error:
                answers = [error] * len(indices)
            for index, answer in zip(indices, answers, strict=True):
                replies[index] = answer

        await asyncio.gather(*(run(node, indices) for node, indices in by_node.items()))
        if moved(replies):
            await self.refresh()
        return replies

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        for node in self._nodes.values():
            await node.aclose()


class StoreRefusedError(StoreUnavailableError):
    """Redis refused a command: it was not executed."""

    def __init__(self, message: str) -> None:
        """Create the error from Redis' own message."""
        super().__init__(message, executed=False)


def _refusal(error: RedisError) -> StoreUnavailableError:
    # What a function wrote before it failed halfway is kept. Redis' error then says "… script: name, on @library:line."
    if " script: " in str(error):
        return StoreUnavailableError(f"a function failed: {error}")
    return StoreRefusedError(str(error))


async def _layout_by(node: Node, deadline_s: float) -> Layout | None:
    """Return the layout as `node` sees it; None when it does not answer or does not know all of it."""
    try:
        info, rows = await node.exchange([("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")], deadline_s)
    except StoreUnavailableError:
        return None
    return parse_layout(node.host, info, rows)


def moved(replies: Sequence[object]) -> bool:
    """Return whether one of the replies says that the cluster's layout has changed."""
    return any(isinstance(reply, MovedError | AskError) for reply in replies)


def refused(reply: object) -> str | None:
    """Return the message of a refused command's reply; None for any other reply."""
    return str(reply) if isinstance(reply, ResponseError) else None
