"""The feature's offers to the rest of the system."""

from livegift.features.earnings.checks import wrong_earnings
from livegift.features.earnings.queries import note
from livegift.features.earnings.routes import ROUTES
from livegift.features.earnings.tables import earned_hours, gift_hold_backs
from livegift.features.slots import Feature
from livegift.ledger.participants import Participant
from livegift.operations.audit import Invariant

FEATURE = Feature(
    "earnings",
    routes=ROUTES,
    booking=(Participant("earnings", 40, note),),
    invariants=(Invariant(8, "earnings by the hour are the gifts'", wrong_earnings),),
    tables=(earned_hours, gift_hold_backs),
)
