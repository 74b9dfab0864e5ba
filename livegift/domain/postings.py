"""Double entry: the transfers between accounts that a journal entry stands for.

A transfer takes an amount from its debit account and adds it to its credit account, so the sum over all accounts of
an asset is always zero. System accounts that every gift touches are split by partition; otherwise all bookings would
wait for one row.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from livegift.contract.journal import Entry, GiftSent, WalletChanged
from livegift.domain.journal import Poison, wallet_effect

COIN = "COIN"
DIAMOND = "DIAMOND"

# Reason of a wallet's change -> the account on the other side. Features add their own reasons.
CORE_REASONS = {"suspense": "coins:suspense"}  # returned from quarantine


class Transfer(NamedTuple):
    """A transfer of `amount` > 0 of `asset` from account `debit` to account `credit`."""

    asset: str
    debit: str
    credit: str
    amount: int


def coins_of(user: str) -> str:
    """Return the name of the account of a user's spendable coins."""
    return f"coins:user:{user}"


def diamonds_of(user: str) -> str:
    """Return the name of the account of a creator's earned diamonds."""
    return f"diamonds:user:{user}"


def held_of(creator: str) -> str:
    """Return the account of the diamonds that a creator has requested to be paid for."""
    return f"diamonds:held:{creator}"


def suspense_of(user: str, partition: int, delta: int) -> tuple[Transfer, ...]:
    """Return the transfer that books `delta` coins (signed) of a wallet, whose reason is unknown, against suspense."""
    mine, suspense = coins_of(user), f"coins:suspense:p{partition}"
    if delta < 0:
        return (Transfer(COIN, mine, suspense, -delta),)
    return (Transfer(COIN, suspense, mine, delta),) if delta else ()


def transfers_of(entry: Entry | Poison, partition: int, reasons: Mapping[str, str]) -> tuple[Transfer, ...]:
    """Return the transfers that an entry of `partition` stands for.

    `reasons` maps the reason of a wallet's change to the account on the other side. Raises KeyError for a reason that
    it lacks.
    """
    if isinstance(entry, Poison):
        effect = wallet_effect(entry)
        return suspense_of(effect.user, partition, effect.delta) if effect else ()
    if isinstance(entry, GiftSent):
        coins = Transfer(COIN, coins_of(entry.user), f"coins:spent:p{partition}", entry.coins)
        diamonds = Transfer(DIAMOND, f"diamonds:issued:p{partition}", diamonds_of(entry.to), entry.diamonds)
        if coins.amount and diamonds.amount:
            return coins, diamonds
        return tuple(transfer for transfer in (coins, diamonds) if transfer.amount)
    if isinstance(entry, WalletChanged):
        other = f"{reasons[entry.reason]}:p{partition}"
        mine = coins_of(entry.user)
        if entry.delta > 0:
            return (Transfer(COIN, other, mine, entry.delta),)
        return (Transfer(COIN, mine, other, -entry.delta),)
    return ()


def sums(transfers: Iterable[Transfer]) -> dict[tuple[str, str], int]:
    """Return the change of each account (name, asset), sorted: bookings that lock in one order can't deadlock."""
    changes: dict[tuple[str, str], int] = {}
    for asset, debit, credit, amount in transfers:
        changes[debit, asset] = changes.get((debit, asset), 0) - amount
        changes[credit, asset] = changes.get((credit, asset), 0) + amount
    return dict(sorted(changes.items()))
