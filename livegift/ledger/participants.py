"""The features' part in the booking of a batch: reasons with their accounts, and participants in its transaction."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.journal import GiftSent, WalletChanged
from livegift.domain.partitions import Position
from livegift.domain.postings import CORE_REASONS, Transfer

Gifts = Sequence[tuple[int, Position, GiftSent]]
Changes = Sequence[tuple[int, Position, WalletChanged]]


class Revocation(NamedTuple):
    """A gift that a change in this batch revokes; `id` is that of the correction."""

    id: str
    gift_event_id: str
    receiver: str


@dataclass(slots=True)
class Batch:
    """The entries that one transaction books, and what its participants add to them.

    `gifts` and `changes` are (partition, position, entry). Participants append to the rest: `transfers` for the
    accounts, whose rows they have written themselves; `revoked` gifts; `taken_back`, by revocation, what others had
    added to its gift; `added_diamonds` by creator, which others pay for; `news`, by participant, for the time after the
    commit.
    """

    gifts: Gifts
    changes: Changes
    transfers: list[Transfer] = field(default_factory=list)
    revoked: list[Revocation] = field(default_factory=list)
    taken_back: dict[str, list[Transfer]] = field(default_factory=dict)
    added_diamonds: dict[str, int] = field(default_factory=dict)
    news: dict[str, object] = field(default_factory=dict)

    def changes_for(self, reasons: Iterable[str]) -> Changes:
        """Return the changes made for one of `reasons`."""
        wanted = frozenset(reasons)
        return [change for change in self.changes if change[2].reason in wanted]


@dataclass(frozen=True, slots=True)
class Participant:
    """A step of every booking.

    Steps run by `rank`, which is the order in which a booking takes locks: after checkpoints and wallet balances and
    before accounts, so that bookings can't deadlock. No two participants have the same rank. `book` raises ValueError
    or KeyError for an entry that can't be booked; then nothing is, and the entry goes to quarantine.
    """

    name: str
    rank: int
    book: Callable[[AsyncConnection, Batch], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BookingPlan:
    """The configuration of bookings.

    `reasons` maps the reason of a wallet's change to the account on the other side.
    """

    reasons: Mapping[str, str]
    participants: tuple[Participant, ...]

    @classmethod
    def of(cls, reasons: Iterable[Mapping[str, str]], participants: Iterable[Participant]) -> "BookingPlan":
        """Combine the features' offers. Raises ValueError for a reason or a rank that two of them claim."""
        combined = dict(CORE_REASONS)
        for offered in reasons:
            if twice := combined.keys() & offered.keys():
                raise ValueError(f"expected each reason from one feature, got {sorted(twice)} twice")
            combined |= offered
        steps = sorted(participants, key=lambda step: step.rank)
        for one, other in pairwise(steps):
            if one.rank == other.rank:
                raise ValueError(f"expected one participant of rank {one.rank}, got {one.name} and {other.name}")
        return cls(combined, tuple(steps))
