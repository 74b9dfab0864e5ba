"""A partition's state in Redis, as tests read and change it behind the functions' back."""

from typing import Any

import redis

from livegift.store import keys
from livegift.store.functions.records import RECORDS

COUNTERS, WALLET = RECORDS["counters"], RECORDS["wallet"]

# Appends an entry as a function of a later version might do it: with the next id, and moving the counter.
APPEND = """
local key, head, positions = KEYS[1] .. ':counters', ARGV[2], tonumber(ARGV[2]) or 1
local epoch, n, rest = redis.call('GET', key):match('^(%d+)|(%d+)|(.*)$')
n = string.format('%d', n + positions)
redis.call('SET', key, epoch .. '|' .. n .. '|' .. rest)
return redis.call('XADD', KEYS[1] .. ':outbox', epoch .. '-' .. n, head, ARGV[1])
"""


def append(client: redis.Redis, root: str, raw: bytes, head: str = "e") -> Any:
    """Append an entry; `head` is the number of its gifts, or `e` for a single entry."""
    return client.eval(APPEND, 1, root, raw, head)  # type: ignore[no-untyped-call]


def counters(client: redis.Redis, root: str) -> dict[str, int]:
    """Return epoch, n, n_max, gifts and coins; empty before the partition is armed for the first time."""
    text = client.get(keys.counters(root))
    if text is None:
        return {}
    assert isinstance(text, str)
    return {name: int(value) for name, value in zip(COUNTERS.kinds, COUNTERS.parse(text), strict=True)}


def balance_and_seq(client: redis.Redis, key: str) -> tuple[int, int]:
    """Return balance and seq of a wallet."""
    found = client.get(key)
    balance, seq = WALLET.parse(found)[:2] if isinstance(found, str) else ("0", "0")
    return int(balance), int(seq)


def change_wallet(client: redis.Redis, key: str, balance: int = 0, seq: int = 0, **others: str) -> None:
    """Add to a wallet's balance and seq without an entry, and set other fields."""
    text = client.get(key)
    assert isinstance(text, str)
    fields = dict(zip(WALLET.kinds, WALLET.parse(text), strict=True))
    changed = {"balance": int(fields["balance"]) + balance, "seq": int(fields["seq"]) + seq}
    client.set(key, WALLET.text(**{**fields, **changed, **others}))
