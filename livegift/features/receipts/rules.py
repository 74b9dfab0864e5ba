"""The origin of a gift's coins: first in, first out, so that each coin has one price."""

from collections.abc import Iterable
from typing import NamedTuple

from livegift.domain.currencies import micros_of


class CoinLot(NamedTuple):
    """Coins that came in together: for money (`amount` minor units of `currency` for all of them), or free."""

    coins: int
    reason: str
    ref: str
    amount: int = 0
    currency: str | None = None


class Part(NamedTuple):
    """The coins of a gift that came from one lot.

    They cost `amount_micros`, in millionths of a unit of `currency` (of a dollar, not of a cent).
    """

    coins: int
    reason: str
    ref: str
    amount_micros: int
    currency: str | None


def parts_of(lots: Iterable[CoinLot], spent_before: int, coins: int) -> list[Part]:
    """Return the parts of the lots that `coins` are taken from, after `spent_before` were taken.

    Amounts of all parts of a lot add up to no more than the lot's: each is the difference of two rounded-down sums.
    """
    parts: list[Part] = []
    start, end, at = spent_before, spent_before + coins, 0
    for lot in lots:
        first, last = max(start, at), min(end, at + lot.coins)
        if first < last:
            paid = micros_of(lot.amount, lot.currency) if lot.currency else 0
            upto, before = ((n - at) * paid // lot.coins for n in (last, first))
            parts.append(Part(last - first, lot.reason, lot.ref, upto - before, lot.currency))
        at += lot.coins
        if at >= end:
            break
    return parts
