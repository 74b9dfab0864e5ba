"""Reading wallets from Redis for the audit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import RedisError

from livegift.contract.errors import StoreUnavailableError
from livegift.domain.allowances import SpendingLimits
from livegift.store import keys
from livegift.store.client import Store, refused
from livegift.store.functions.wallets import wallets_read
from livegift.store.wallets import parse_wallets

SCAN_COUNT = 1_000


@dataclass(frozen=True, slots=True)
class StoredWallet:
    """A wallet as it is in Redis."""

    user: str
    balance: int
    seq: int
    frozen: bool
    limits: SpendingLimits


async def read_wallets(store: Store, partitions: int) -> AsyncIterator[list[StoredWallet]]:
    """Yield all wallets of all partitions, in chunks. Raises StoreUnavailableError."""
    roots = set(keys.partition_roots(partitions))
    for node in store.nodes:
        cursor = 0
        while True:
            try:
                cursor, found = await node.commands.scan(cursor, match=f"{{w*}}{keys.WALLET_PREFIX}*", count=SCAN_COUNT)
                users: dict[str, list[str]] = {}
                for name in (name for name in found if isinstance(name, bytes)):
                    root, _, user = name.decode().partition(keys.WALLET_PREFIX)
                    if root in roots:
                        users.setdefault(root, []).append(user)
                commands = [wallets_read(root, there) for root, there in users.items()]
                replies = await node.exchange(commands) if commands else []
                for reply in replies:
                    if (message := refused(reply)) is not None:
                        raise StoreUnavailableError(f"the wallets can't be read: {message}")
            except (RedisError, OSError) as error:
                raise StoreUnavailableError(f"the wallets can't be read: {error}") from error
            yield [
                StoredWallet(user, wallet.balance, wallet.seq, wallet.frozen, wallet.limits)
                for there, reply in zip(users.values(), replies, strict=True)
                for user, wallet in zip(there, parse_wallets(reply), strict=True)
            ]
            if cursor == 0:
                break
