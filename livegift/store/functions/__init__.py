"""The Redis Functions: three Lua libraries, versioned by name so that two versions can be live during an upgrade."""

from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from livegift.contract.errors import ConfigError, StoreUnavailableError
from livegift.store.client import Node, Store
from livegift.store.functions.signature import VERSION as VERSION

FOLDER = Path(__file__).parent
# Library -> its files, in order. They are concatenated, so each file sees the locals of those before it.
SHARED = "shared"
LIBRARIES = {
    "wallets": ("journal", "accounts", "streaks", "limits", "gifts", "changes", "partitions", "repair"),
    "rooms": ("rooms", "gifters", "publishing", "corrections", "gates", "told", "reading", "legacy"),
    "leases": ("leases",),
}


def library_name(library: str) -> str:
    """Return the name of a library in Redis."""
    return f"livegift_{library}_{VERSION}"


def source(library: str) -> str:
    """Return the code of a library as it is loaded into Redis."""
    code = "\n".join((FOLDER / f"{part}.lua").read_text() for part in (SHARED, *LIBRARIES[library]))
    return f"#!lua name={library_name(library)}\n{code}"


async def other_versions(node: Node) -> tuple[int, ...]:
    """Return the other versions of the wallets' functions on a node, as during an upgrade.

    Raises StoreUnavailableError.
    """
    prefix = "livegift_wallets_"
    (rows,) = await node.exchange([("FUNCTION", "LIST", "LIBRARYNAME", f"{prefix}*")])
    if not isinstance(rows, list):
        raise StoreUnavailableError(f"the functions of {node.name} can't be listed: {rows}", executed=False)
    names = [bytes(row[1]).decode() for row in rows]
    found = {int(name.removeprefix(prefix)) for name in names if name.removeprefix(prefix).isdigit()}
    return tuple(sorted(found - {VERSION}))


async def load(store: Store) -> list[str]:
    """Load missing or changed libraries on each primary. Returns what was loaded, as `node library`.

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


async def remove_older(store: Store) -> list[str]:
    """Remove the libraries of versions that do not know how wallets are stored now. Returns what was removed.

    Processes of such a version get errors from then on, and can't change anything.
    """
    removed = []
    for node in store.nodes:
        for name in await _older_libraries(node):
            await node.commands.execute_command("FUNCTION DELETE", name)
            removed.append(f"{node.name} {name}")
    return removed


async def _older_libraries(node: Node) -> list[str]:
    (rows,) = await node.exchange([("FUNCTION", "LIST", "LIBRARYNAME", "livegift_*")])
    if not isinstance(rows, list):
        raise StoreUnavailableError(f"the functions of {node.name} can't be listed: {rows}", executed=False)
    names = [bytes(row[1]).decode() for row in rows]
    return [name for name in names if name.rpartition("_")[2].isdigit() and int(name.rpartition("_")[2]) < VERSION]


async def _stored(client: Redis, library: str) -> str | None:
    rows = await client.execute_command("FUNCTION LIST", "LIBRARYNAME", library_name(library), "WITHCODE")
    if not rows:
        return None
    row = {rows[0][i]: rows[0][i + 1] for i in range(0, len(rows[0]), 2)}
    return bytes(row[b"library_code"]).decode()


async def check(store: Store) -> None:
    """Raise ConfigError unless every primary has the same libraries as this version.

    Raises StoreUnavailableError when a primary does not answer.
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
        if older := await _older_libraries(node):
            raise ConfigError(f"Redis at {node.name} still has {', '.join(older)}: run `livegift migrate`")
