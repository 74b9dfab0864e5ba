"""The feature's offers to the rest of the system."""

from livegift.features.slots import Background, Feature
from livegift.features.sponsors import booking
from livegift.features.sponsors.background import MatchSweeps
from livegift.features.sponsors.checks import LEGS, wrong_matches
from livegift.features.sponsors.errors import ERRORS
from livegift.features.sponsors.events import ACTIVE_MATCHES, MATCHES
from livegift.features.sponsors.routes import ROUTES
from livegift.features.sponsors.rules import REASONS
from livegift.features.sponsors.tables import gift_matches, sponsor_matches
from livegift.ledger.participants import Participant
from livegift.operations.audit import Invariant
from livegift.resources.resources import Stores


def _background(stores: Stores) -> Background:
    return MatchSweeps(stores).background()


FEATURE = Feature(
    booking.NAME,
    routes=ROUTES,
    events=(MATCHES,),
    room=(ACTIVE_MATCHES,),
    errors=ERRORS,
    reasons=REASONS,
    booking=(Participant(booking.NAME, 20, booking.match_batch),),
    background=_background,
    invariants=(
        Invariant(
            10,
            "every sponsor match has paid for exactly what it added to gifts, within its budget, and gives back the "
            "rest",
            wrong_matches,
        ),
    ),
    legs=(LEGS,),
    tables=(sponsor_matches, gift_matches),
)
