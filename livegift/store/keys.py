"""Every key, channel and hash tag in Redis. Lua builds the same names from the root it is given.

| name | kind | lives |
|---|---|---|
| `{w7.1}:meta` | hash: epoch, n, n_max, gifts, coins, booked, relayed, generation, short, event_id_key | permanent |
| `{w7.1}:outbox` | stream of journal entries, id `<epoch>-<n>` | trimmed after `LIVEGIFT_OUTBOX_KEEP_S` |
| `{w7.1}:w:<user>` | hash: b balance, s seq, h hours with refs, f frozen, l limits, u usage | permanent |
| `{w7.1}:ref:<user>:<hour>` | hash: ref -> answer | `LIVEGIFT_REF_TTL_S` + 1 h |
| `{w7.1}:streaks`, `{w7.1}:due` | hash and zset of open streaks | until the streak ends |
| `{w7.1}:broken` | set: wallets and refs of calls that failed half-way | until the partition is armed again |
| `{w7.1}:lease:<role>` | hash: owner, until_ms, token | permanent, tiny |
| `{w7.1}:barrier` | string: written only for WAITAOF to wait for | permanent, tiny |
| `{w7.1}:user:<user>` | channel: wallet changes, credits | - |
| `{w7.1}:armed` | channel: the partition was armed | - |
| `{room:<id>}:state` … `:log` | see rooms.lua | permanent; 30 days after the end |
| `{room:<id>}:matches` | hash: sponsor match -> what the room shows of it | permanent; 30 days after the end |
| `{room:<id>}:viewers` | hash: process -> count | seconds |
| `{room:<id>}:events` | channel: published events | - |
| `livegift:workers:<role>` | zset of live workers | permanent, tiny |
| `livegift:migrated` | string: schema version and partitions | permanent |
"""

from functools import cache

from redis.crc import key_slot

SLOTS = 16_384
WALLET_PREFIX = ":w:"
MIGRATED = "livegift:migrated"


@cache
def partition_roots(partitions: int) -> tuple[str, ...]:
    """The roots of all partitions: hash tags whose slots lie evenly spread over the cluster's 16,384.

    Partition p gets the first tag `w<p>.<k>` whose slot falls into the p-th equal part of the slots, so that any
    contiguous split of the slots over primaries splits the partitions as evenly.
    """
    roots = []
    for number in range(partitions):
        low, high = number * SLOTS // partitions, (number + 1) * SLOTS // partitions
        k = next(k for k in range(10**7) if low <= key_slot(f"w{number}.{k}".encode()) < high)
        roots.append(f"{{w{number}.{k}}}")
    return tuple(roots)


def outbox(root: str) -> str:
    """The stream of a partition's journal."""
    return f"{root}:outbox"


def streaks(root: str) -> str:
    """The hash of a partition's open streaks."""
    return f"{root}:streaks"


def broken(root: str) -> str:
    """The set of '<user> <ref>' of items that have failed half-way."""
    return f"{root}:broken"


def meta(root: str) -> str:
    """The hash with a partition's epoch, counter and cursors."""
    return f"{root}:meta"


def barrier(root: str) -> str:
    """A key that is written only so that WAITAOF has something to wait for."""
    return f"{root}:barrier"


def wallet(root: str, user: str) -> str:
    """The hash with a user's spendable coins."""
    return f"{root}{WALLET_PREFIX}{user}"


def user_channel(root: str, user: str) -> str:
    """The channel of one user's wallet changes, in the slot of the wallet."""
    return f"{root}:user:{user}"


def room_root(room: str) -> str:
    """The root of all keys of a room. Ids have no braces, so the tag is the whole of it."""
    return f"{{room:{room}}}"


def room_channel(room: str) -> str:
    """The channel of a room's published events."""
    return f"{room_root(room)}:events"


def room_gifters(room: str) -> str:
    """The hash of a room's gifters."""
    return f"{room_root(room)}:gifters"


def partition_channel(root: str) -> str:
    """The channel that says when a partition was armed again: wallets may have another balance since."""
    return f"{root}:armed"


def workers(role: str) -> str:
    """The registry of the live workers of a role."""
    return f"livegift:workers:{role}"


def slot(name: str) -> int:
    """The cluster slot of a key or a sharded channel."""
    return int(key_slot(name.encode()))
