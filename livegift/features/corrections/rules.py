"""The rules of corrections, which an operator requests and a second one approves. Compensating transfers, never edits.

requested -> approved -> applied, or requested -> rejected. An approved one whose coins the wallet does not have is
refused: nothing moves. It is applied when the journal's entry is booked; everything else that a gift has moved goes
back in the same transaction.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from livegift.contract.errors import RequestError
from livegift.domain.postings import DIAMOND, Transfer, diamonds_of

Status = Literal["requested", "approved", "applied", "rejected", "refused"]


class RevokedGift(NamedTuple):
    """The gift that a revocation undoes. `id` is its event's, `partition` the one that booked it.

    `diamonds` are those that the creator still has from it: less what was clawed back for a refund.
    """

    id: str
    partition: int
    room: str
    receiver: str
    diamonds: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction: the wallet of `user` gets `coins` (negative: gives).

    With `gift`, it revokes that gift of the user.
    """

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
        """Return the reason in its journal entry."""
        return "correction" if self.gift is None else "revocation"

    @property
    def ref(self) -> str:
        """Return the ref of its journal entry."""
        return f"{self.reason}:{self.id}"

    def same_as(self, other: "Correction") -> bool:
        """Return whether both request the same, whoever requested them and whatever their status."""
        return (self.id, self.user, self.coins, self.why, self.gift) == (
            other.id,
            other.user,
            other.coins,
            other.why,
            other.gift,
        )


def decide(correction: Correction, by: str, *, approve: bool) -> Correction:
    """Return the correction after the decision of `by`; deciding the same again changes nothing.

    Raises RequestError('second_person_required') for the one who requested it or who gets something from it, and
    RequestError('conflict') when it was decided otherwise. The requester may reject it: that takes it back.
    """
    if approve and by in (correction.requested_by, correction.user):
        raise RequestError("second_person_required")
    if correction.status == "requested":
        return replace(correction, status="approved" if approve else "rejected", decided_by=by)
    if approve == (correction.status == "rejected"):
        raise RequestError("conflict", f"{correction.decided_by} has decided: it is {correction.status}.")
    return correction


def transfers_of(correction: Correction) -> tuple[Transfer, ...]:
    """Return the transfers of the gift itself that the ledger posts on applying it; the journal moves the coins.

    What sponsors have added goes back as well: `sponsors.taken_back_transfers`. The creator's diamonds go back to where
    they came from, whatever is left of them: diamonds that were paid out are owed, and the next gifts pay for them.
    """
    gift = correction.gift
    if gift is None or not gift.diamonds:
        return ()
    return (Transfer(DIAMOND, diamonds_of(gift.receiver), f"diamonds:issued:p{gift.partition}", gift.diamonds),)
