"""The Redis Functions: three libraries of Lua, versioned by name so that two versions can be live in an upgrade."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from livegift.contract.errors import ConfigError, StoreUnavailableError
from livegift.store.client import Command, Node, Store

# Library -> its files, which share their locals.
LIBRARIES = {"wallets": ("wallets", "partitions"), "rooms": ("rooms", "matches", "older"), "leases": ("leases",)}
VERSION = 1


def library_name(library: str) -> str:
    """The name a library has in Redis."""
    return f"livegift_{library}_{VERSION}"


def source(library: str) -> str:
    """A library as Redis takes it."""
    code = "\n".join(files(__package__).joinpath(f"{part}.lua").read_text() for part in LIBRARIES[library])
    return f"#!lua name={library_name(library)}\n{code}"


def call(function: str, root: str, *args: str | bytes | int, version: int = VERSION) -> Command:
    """The command that calls `function` on the keys of one root."""
    return ("FCALL", f"{function}_{version}", 1, root, *args)


def call_node(function: str, *args: str | bytes | int) -> Command:
    """The command that calls `function` on no key, for one node."""
    return ("FCALL", f"{function}_{VERSION}", 0, *args)


async def other_versions(node: Node) -> tuple[int, ...]:
    """Other live versions of the wallets' functions on a node, as in an upgrade. Raises StoreUnavailableError."""
    prefix = "livegift_wallets_"
    (rows,) = await node.exchange([("FUNCTION", "LIST", "LIBRARYNAME", f"{prefix}*")])
    if not isinstance(rows, list):
        raise StoreUnavailableError(f"the functions of {node.name} can't be listed: {rows}", executed=False)
    names = [bytes(row[1]).decode() for row in rows]
    found = {int(name.removeprefix(prefix)) for name in names if name.removeprefix(prefix).isdigit()}
    return tuple(sorted(found - {VERSION}))


async def load(store: Store) -> list[str]:
    """Load what is missing or differs on each primary; returns what was loaded, as `node library`.

    Loading a changed `wallets` disarms the partitions of that node: the aggregator arms them again.
    """
    loaded = []
    for node in store.nodes:
        for library in LIBRARIES:
            code = source(library)
            if await _stored(node.commands, library) != code:
                await node.commands.execute_command("FUNCTION LOAD", "REPLACE", code)
                loaded.append(f"{node.name} {library}")
    return loaded


async def _stored(client: Redis, library: str) -> str | None:
    rows = await client.execute_command("FUNCTION LIST", "LIBRARYNAME", library_name(library), "WITHCODE")
    if not rows:
        return None
    row = {rows[0][i]: rows[0][i + 1] for i in range(0, len(rows[0]), 2)}
    return bytes(row[b"library_code"]).decode()


async def check(store: Store) -> None:
    """Raise ConfigError unless every primary has these libraries as they are here.

    Raises StoreUnavailableError when one is away.
    """
    for node in store.nodes:
        for library in LIBRARIES:
            try:
                stored = await _stored(node.commands, library)
            except (RedisTimeoutError, RedisConnectionError) as error:
                raise StoreUnavailableError(f"Redis at {node.name} did not answer: {error}", executed=False) from error
            except RedisError as error:
                raise ConfigError(f"Redis at {node.name} has no functions: {error}") from error
            if stored != source(library):
                raise ConfigError(
                    f"Redis at {node.name} {'lacks' if stored is None else 'has another version of'} the library "
                    f"{library_name(library)}: run `livegift migrate`"
                )
