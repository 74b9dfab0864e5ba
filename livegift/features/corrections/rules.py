"""Corrections: what an operator puts right, with a second one's consent. Compensating transfers, never edits.

requested -> approved -> applied, or requested -> rejected. An approved one whose coins the wallet does not have is
refused: nothing moved. Applied is what the journal's entry says, when that is booked: with it, in one transaction, goes
whatever else a gift has moved.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from livegift.contract.errors import RequestError
from livegift.domain.postings import DIAMOND, Transfer, diamonds_of

Status = Literal["requested", "approved", "applied", "rejected", "refused"]


class RevokedGift(NamedTuple):
    """The gift that a revocation undoes. `id` is its event's, `partition` the one that booked it.

    `diamonds` are those that the creator still has from it: less what was held back for a refund.
    """

    id: str
    partition: int
    room: str
    receiver: str
    diamonds: int


@dataclass(frozen=True, slots=True)
class Correction:
    """`coins` are what the wallet of `user` gets (negative: gives). With `gift` it undoes that gift of the user."""

    id: str
    user: str
    coins: int
    why: str
    requested_by: str
    gift: RevokedGift | None = None
    decided_by: str | None = None
    status: Status = "requested"

    @property
    def reason(self) -> str:
        """The reason that its entry in the journal has."""
        return "correction" if self.gift is None else "revocation"

    @property
    def ref(self) -> str:
        """The ref of that entry."""
        return f"{self.reason}:{self.id}"

    def same_as(self, other: "Correction") -> bool:
        """Whether both ask for the same, whoever asks and however far they are."""
        return (self.id, self.user, self.coins, self.why, self.gift) == (
            other.id,
            other.user,
            other.coins,
            other.why,
            other.gift,
        )


def decide(correction: Correction, by: str, *, approve: bool) -> Correction:
    """The correction after `by` has decided; deciding the same again changes nothing.

    Raises RequestError('second_person_required') for who has asked for it, or who gets something by it, and
    RequestError('conflict') when it was decided otherwise. Who has asked may reject it: that is taking it back.
    """
    if approve and by in (correction.requested_by, correction.user):
        raise RequestError("second_person_required")
    if correction.status == "requested":
        return replace(correction, status="approved" if approve else "rejected", decided_by=by)
    if approve == (correction.status == "rejected"):
        raise RequestError("conflict", f"{correction.decided_by} has decided: it is {correction.status}.")
    return correction


def transfers_of(correction: Correction) -> tuple[Transfer, ...]:
    """What the ledger posts of the gift's own when it is applied; the wallet's coins move by its journal.

    What sponsors have added goes back as well: `sponsors.taken_back_transfers`. The creator's diamonds go back where
    they came from, whatever is left of them: what was paid out already is owed, and the next gifts pay for it.
    """
    gift = correction.gift
    if gift is None or not gift.diamonds:
        return ()
    return (Transfer(DIAMOND, diamonds_of(gift.receiver), f"diamonds:issued:p{gift.partition}", gift.diamonds),)
