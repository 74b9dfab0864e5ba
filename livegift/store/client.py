"""One Redis node or a cluster behind one face.

redis-py retries a timed-out command ten times by default. Here nothing is ever repeated behind the caller's back: a
`Link` is one connection that is used by one task, has a deadline for every exchange and never reconnects by itself.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, AuthenticationError, MovedError, RedisError, ResponseError

from livegift.errors import ConfigError, StoreUnavailableError
from livegift.limits import REDIS_CONNECT_TIMEOUT_S, REDIS_POOL_MAX, REDIS_TIMEOUT_S
from livegift.store.keys import SLOTS, slot

Command = tuple[str | bytes | int, ...]
VERSION_MIN = (7, 2)
REFRESH_PERIOD_S = 1.0


def _packed(commands: Sequence[Command]) -> list[bytes]:
    return [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub says one element


class Link:
    """One connection to one node for one task. After an error it is closed; the owner opens another."""

    def __init__(self, connection: Connection) -> None:
        """`connection` is not connected yet."""
        self._connection = connection

    @property
    def is_open(self) -> bool:
        """Whether the next exchange can begin."""
        return bool(self._connection.is_connected)

    async def open(self) -> Self:
        """Connect. Raises StoreUnavailableError (`executed=False`)."""
        try:
            async with asyncio.timeout(REDIS_CONNECT_TIMEOUT_S):
                await self._connection.connect()
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailableError(f"Redis can't be reached: {error}", executed=False) from error
        return self

    async def exchange(self, commands: Sequence[Command], deadline_s: float) -> list[Any]:
        """Send `commands` in one write and return a reply for each; a refused command's reply is its ResponseError.

        Raises StoreUnavailableError with `executed=False` when nothing was sent, else `None`: nobody knows.
        """
        await self.send(commands)
        try:
            async with asyncio.timeout(deadline_s):
                return [await self._read() for _ in commands]
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailableError(f"no reply from Redis within {deadline_s} s: {error!r}") from error
        except asyncio.CancelledError:
            await self.close()  # replies are still on their way: the connection can't be used again
            raise

    async def send(self, commands: Sequence[Command]) -> None:
        """Send `commands` without reading replies (for channels). Raises StoreUnavailableError."""
        if not self.is_open:
            raise StoreUnavailableError("the connection to Redis is closed", executed=False)
        connection = self._connection
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                # hiredis' packer: redis-py's own took a sixth of a web process under load.
                await connection.send_packed_command(b"".join(_packed(commands)), check_health=False)
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnavailableError(f"Redis did not take the commands: {error!r}") from error

    async def read(self) -> Any:
        """Wait for the next message of a subscribed connection. Raises StoreUnavailableError."""
        try:
            return await self._read()
        except (RedisError, OSError) as error:
            await self.close()
            raise StoreUnavailableError(f"the connection to Redis is gone: {error!r}") from error

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False, timeout=None)
        except ResponseError as error:
            return error

    async def close(self) -> None:
        """Close at once, whatever is under way."""
        await self._connection.disconnect(nowait=True)


class Node:
    """One primary."""

    def __init__(self, options: dict[str, Any], host: str, port: int) -> None:
        """`options` are redis-py's connection arguments without host and port."""
        self.name = f"{host}:{port}"
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
        """Like `Link.exchange`, on a connection that this process shares and opens when it is needed."""
        async with self._turn:
            if not self._shared.is_open:
                self._shared = await self.link().open()
            return await self._shared.exchange(commands, deadline_s)

    def link(self) -> Link:
        """A connection of one's own, not open yet."""
        return Link(self._connection_class(**self._options))

    async def aclose(self) -> None:
        """Close the pool."""
        await self._shared.close()
        await self.commands.aclose()
        await self.commands.connection_pool.disconnect()


class Store:
    """The nodes, and which of them owns a key."""

    def __init__(self, url: str) -> None:
        """`url` is one node's, or any node's of a cluster."""
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
        self._refreshed_at = -REFRESH_PERIOD_S

    @classmethod
    async def connect(cls, url: str) -> "Store":
        """Connect and learn the layout. Raises StoreUnavailableError or ConfigError (too old, wrong password)."""
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
            server = await seed.commands.info("server")
            cluster = await seed.commands.info("cluster")
        except AuthenticationError as error:
            raise ConfigError(f"Redis at {seed.name} refused the user or password of LIVEGIFT_REDIS_URL") from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"Redis at {seed.name} can't be reached: {error}", executed=False) from error
        # Valkey tells its own version apart from the Redis version it is compatible with.
        version = str(server.get("valkey_version") or server["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
            raise ConfigError(f"Redis or Valkey >= 7.2 is needed (WAITAOF), {seed.name} is {version}")
        self.is_cluster = bool(cluster.get("cluster_enabled"))
        self._owners = [seed]
        if self.is_cluster:
            await self.refresh()

    def _node(self, host: str, port: int) -> Node:
        name = f"{host}:{port}"
        if name not in self._nodes:
            self._nodes[name] = Node(self._options, host, port)
        return self._nodes[name]

    async def refresh(self) -> None:
        """Learn a cluster's layout anew (at most once a second). Raises StoreUnavailableError."""
        now = asyncio.get_running_loop().time()
        if not self.is_cluster or now - self._refreshed_at < REFRESH_PERIOD_S:
            return
        self._refreshed_at = now
        for node in list(self._nodes.values()):
            try:
                rows = await node.commands.execute_command("CLUSTER SLOTS")
            except (RedisError, OSError):
                continue
            owners: list[Node | None] = [None] * SLOTS
            for low, high, (host, port, *_), *_replicas in rows:
                # A node that does not know its own address means the one it was asked under.
                owner = self._node(host.decode() or self._host, int(port))
                owners[low : high + 1] = [owner] * (high - low + 1)
            if None not in owners:
                self._owners = [owner for owner in owners if owner is not None]
                return
        raise StoreUnavailableError("no node of the cluster tells a complete layout", executed=False)

    @property
    def nodes(self) -> list[Node]:
        """The primaries."""
        return list(dict.fromkeys(self._owners))

    def node_of(self, key: str) -> Node:
        """The primary that owns `key`."""
        return self._owners[slot(key)] if self.is_cluster else self._owners[0]

    async def call(self, command: Command) -> Any:
        """Run one function call (`FCALL`, name, 1, root, …) on the owner of its root, once; errors as `call_plain`."""
        return await self.call_plain(str(command[3]), command)

    async def call_plain(self, key: str, command: Command) -> Any:
        """Run one command on the owner of `key`, once.

        Raises StoreUnavailableError (unknown whether executed) or StoreRefusedError (certainly not).
        """
        try:
            return await self.node_of(key).commands.execute_command(*command)
        except (MovedError, AskError) as error:
            await self.refresh()
            raise StoreUnavailableError(f"{key} has moved", executed=False) from error
        except ResponseError as error:
            raise StoreRefusedError(str(error)) from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"Redis did not answer: {error}") from error

    async def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """Run function calls of any roots, in one exchange per node; a reply or an exception for each, in their order.

        A dead node costs only its own: their replies are StoreUnavailableError.
        """
        by_node: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            by_node.setdefault(self.node_of(str(command[3])), []).append(index)
        replies: list[Any] = [None] * len(commands)

        async def run(node: Node, indices: list[int]) -> None:
            try:
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
        """Close every pool."""
        for node in self._nodes.values():
            await node.aclose()


class StoreRefusedError(StoreUnavailableError):
    """Redis refused a command: nothing was executed."""

    def __init__(self, message: str) -> None:
        """`message` is Redis' own."""
        super().__init__(message, executed=False)


def moved(replies: Sequence[object]) -> bool:
    """Whether one of the replies says that the cluster's layout has changed."""
    return any(isinstance(reply, MovedError | AskError) for reply in replies)


def refused(reply: object) -> str | None:
    """The message of a refused command's reply, or None."""
    return str(reply) if isinstance(reply, ResponseError) else None
