"""What the audit reads from Redis."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import RedisError

from livegift.errors import StoreUnavailableError
from livegift.store import keys
from livegift.store.client import Store

SCAN_COUNT = 1_000


@dataclass(frozen=True, slots=True)
class WalletState:
    """One wallet as Redis has it."""

    user: str
    balance: int
    seq: int
    frozen: bool


async def read_wallets(store: Store, partitions: int) -> AsyncIterator[list[WalletState]]:
    """All wallets of all partitions, in chunks. Raises StoreUnavailableError."""
    roots = set(keys.partition_roots(partitions))
    for node in store.nodes:
        cursor = 0
        while True:
            try:
                cursor, found = await node.commands.scan(cursor, match=f"{{w*}}{keys.WALLET_PREFIX}*", count=SCAN_COUNT)
                names = [bytes(name).decode() for name in found if isinstance(name, bytes)]
                wallets = [name for name in names if name.partition(keys.WALLET_PREFIX)[0] in roots]
                rows = await node.exchange([("HMGET", name, "b", "s", "f") for name in wallets]) if wallets else []
            except (RedisError, OSError) as error:
                raise StoreUnavailableError(f"the wallets can't be read: {error}") from error
            yield [
                WalletState(name.partition(keys.WALLET_PREFIX)[2], int(b or 0), int(s or 0), frozen=bool(f))
                for name, (b, s, f) in zip(wallets, rows, strict=True)
            ]
            if cursor == 0:
                break
