"""Reading wallets from Redis for the audit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import RedisError

from livegift.contract.errors import StoreUnavailableError
from livegift.domain.allowances import SpendingLimits
from livegift.store import keys
from livegift.store.client import Store
from livegift.store.wallets import WALLET_FIELDS, Balance, balance_of

SCAN_COUNT = 1_000


@dataclass(frozen=True, slots=True)
class StoredWallet:
    """A wallet as it is in Redis."""

    user: str
    balance: int
    seq: int
    frozen: bool
    limits: SpendingLimits


def _state(name: str, found: Balance) -> StoredWallet:
    user = name.partition(keys.WALLET_PREFIX)[2]
    return StoredWallet(user, found.balance, found.seq, found.frozen, found.limits)


async def read_wallets(store: Store, partitions: int) -> AsyncIterator[list[StoredWallet]]:
    """Yield all wallets of all partitions, in chunks. Raises StoreUnavailableError."""
    roots = set(keys.partition_roots(partitions))
    for node in store.nodes:
        cursor = 0
        while True:
            try:
                cursor, found = await node.commands.scan(cursor, match=f"{{w*}}{keys.WALLET_PREFIX}*", count=SCAN_COUNT)
                names = [bytes(name).decode() for name in found if isinstance(name, bytes)]
                wallets = [name for name in names if name.partition(keys.WALLET_PREFIX)[0] in roots]
                rows = await node.exchange([("HMGET", name, *WALLET_FIELDS) for name in wallets]) if wallets else []
            except (RedisError, OSError) as error:
                raise StoreUnavailableError(f"the wallets can't be read: {error}") from error
            yield [_state(name, balance_of(row)) for name, row in zip(wallets, rows, strict=True)]
            if cursor == 0:
                break
