"""The Redis Functions: three libraries of Lua, versioned by name so that two versions can be live in an upgrade."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import RedisError

from livegift.errors import ConfigError
from livegift.store.client import Command, Store

LIBRARIES = ("wallets", "rooms", "leases")
VERSION = 1


def library_name(library: str) -> str:
    """The name a library has in Redis."""
    return f"livegift_{library}_{VERSION}"


def source(library: str) -> str:
    """A library as Redis takes it."""
    code = files(__package__).joinpath(f"{library}.lua").read_text()
    return f"#!lua name={library_name(library)}\n{code}"


def call(function: str, root: str, *args: str | bytes | int) -> Command:
    """The command that calls `function` of this version on the keys of one root."""
    return ("FCALL", f"{function}_{VERSION}", 1, root, *args)


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
    """Raise ConfigError unless every primary has these libraries as they are here."""
    for node in store.nodes:
        for library in LIBRARIES:
            try:
                stored = await _stored(node.commands, library)
            except RedisError as error:
                raise ConfigError(f"Redis at {node.name} has no functions: {error}") from error
            if stored != source(library):
                raise ConfigError(
                    f"Redis at {node.name} {'lacks' if stored is None else 'has another version of'} the library "
                    f"{library_name(library)}: run `livegift migrate`"
                )
