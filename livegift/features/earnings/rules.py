"""Clawbacks: taking diamonds back from creators when the money behind gifts is refunded, if the operator wants so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from livegift.domain.postings import DIAMOND, Transfer, diamonds_of

RefundPolicy = Literal["creator_keeps", "hold_back"]
# No booking of gifts touches this account, so the two can't deadlock over it.
HELD_BACK = "diamonds:issued:held_back"


class FreshGift(NamedTuple):
    """A gift within the holding period: its coins and diamonds, less what was clawed back before."""

    event: tuple[int, int, int]
    creator: str
    coins: int
    diamonds: int


class Clawback(NamedTuple):
    """The part of one gift that is clawed back."""

    event: tuple[int, int, int]
    creator: str
    coins: int
    diamonds: int


def clawbacks_of(coins: int, gifts: Sequence[FreshGift], accounts: Mapping[str, int]) -> tuple[Clawback, ...]:
    """Return the clawbacks from `gifts` (newest first) for `coins` that a wallet could not give back.

    A gift that those coins paid in part loses that part, rounded down. Nobody loses more than `accounts` has for them.
    """
    left, has = coins, dict(accounts)
    found: list[Clawback] = []
    for gift in gifts:
        if left <= 0:
            break
        part = min(left, gift.coins)
        left -= part
        diamonds = min(gift.diamonds * part // gift.coins, max(has.get(gift.creator, 0), 0)) if gift.coins else 0
        if diamonds:
            has[gift.creator] -= diamonds
            found.append(Clawback(gift.event, gift.creator, part, diamonds))
    return tuple(found)


def transfers_of(found: Iterable[Clawback]) -> tuple[Transfer, ...]:
    """Return the transfers, one for each creator."""
    sums: dict[str, int] = {}
    for part in found:
        sums[part.creator] = sums.get(part.creator, 0) + part.diamonds
    return tuple(Transfer(DIAMOND, diamonds_of(creator), HELD_BACK, total) for creator, total in sorted(sums.items()))
