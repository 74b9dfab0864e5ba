"""The names of all keys, channels and hash tags in Redis. Lua builds the same names from the root it is given.

| name | kind | lives |
|---|---|---|
| `{w7.1}:counters` | string: epoch, n, n_max, gifts, coins | permanent |
| `{w7.1}:meta` | hash: booked, relayed, backlog_max, generation, whole_after, short, event_id_key | permanent |
| `{w7.1}:outbox` | stream of journal entries, id `<epoch>-<n>` | trimmed after `LIVEGIFT_OUTBOX_KEEP_S` |
| `{w7.1}:w:<user>` | string: balance, seq, hours with refs, flags, usage | permanent |
| `{w7.1}:l:<user>` | string: the limits of a wallet that has any | permanent |
| `{w7.1}:ref:<user>:<hour>` | hash: ref -> answer | `LIVEGIFT_REF_TTL_S` + 1 h |
| `{w7.1}:s:<streak>` | string: an open streak | until it ends |
| `{w7.1}:shown`, `{w7.1}:due` | hash and zset: what open streaks show, when they may be over | until the streak ends |
| `{w7.1}:broken` | set: wallets, refs and hours of calls that failed halfway | until the partition is armed again |
| `{w7.1}:lease:<role>` | hash: owner, until_ms, token | permanent, tiny |
| `{w7.1}:barrier` | string: written only for WAITAOF to wait for | permanent, tiny |
| `{w7.1}:user:<user>` | channel: wallet changes, credits | - |
| `{w7.1}:armed` | channel: the partition was armed | - |
| `{room:<id>}:state` … `:log` | see rooms.lua | permanent; 30 days after the end |
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
    """Return the roots of all partitions: hash tags whose slots are spread evenly over the cluster's 16,384.

    Partition p gets the first tag `w<p>.<k>` whose slot falls into the p-th equal part of the slots, so any contiguous
    split of the slots over primaries splits the partitions as evenly.
    """
    roots = []
    for number in range(partitions):
        low, high = number * SLOTS // partitions, (number + 1) * SLOTS // partitions
        k = next(k for k in range(10**7) if low <= key_slot(f"w{number}.{k}".encode()) < high)
        roots.append(f"{{w{number}.{k}}}")
    return tuple(roots)


def outbox(root: str) -> str:
    """Return the key of a partition's journal, a stream."""
    return f"{root}:outbox"


def streak(root: str, key: str) -> str:
    """Return the key of an open streak, a string."""
    return f"{root}:s:{key}"


def due(root: str) -> str:
    """Return the key of the zset of a partition's open streaks."""
    return f"{root}:due"


def broken(root: str) -> str:
    """Return the key of the set of '<user> <ref> <hour>' whose calls failed halfway."""
    return f"{root}:broken"


def counters(root: str) -> str:
    """Return the key of a partition's epoch, n, n_max, gifts and coins, a string."""
    return f"{root}:counters"


def meta(root: str) -> str:
    """Return the key of the hash with a partition's cursors."""
    return f"{root}:meta"


def barrier(root: str) -> str:
    """Return a key that is written only to give WAITAOF something to wait for."""
    return f"{root}:barrier"


def wallet(root: str, user: str) -> str:
    """Return the key of a user's wallet, a string; in version 1 of the functions a hash."""
    return f"{root}{WALLET_PREFIX}{user}"


def user_channel(root: str, user: str) -> str:
    """Return the channel of a user's wallet changes, in the slot of the wallet."""
    return f"{root}:user:{user}"


def room_root(room: str) -> str:
    """Return the root of all keys of a room. Ids have no braces, so the tag is the whole of it."""
    return f"{{room:{room}}}"


def room_channel(room: str) -> str:
    """Return the channel of a room's published events."""
    return f"{room_root(room)}:events"


def room_gifters(room: str) -> str:
    """Return the key of a room's gifters, a hash."""
    return f"{room_root(room)}:gifters"


def partition_channel(root: str) -> str:
    """Return the channel that says when a partition was armed again: its wallets may have other balances since then."""
    return f"{root}:armed"


def workers(role: str) -> str:
    """Return the key of the registry of a role's live workers."""
    return f"livegift:workers:{role}"


def slot(name: str) -> int:
    """Return the cluster slot of a key or a sharded channel."""
    return int(key_slot(name.encode()))
