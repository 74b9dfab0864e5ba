"""The feature's offers to the rest of the system."""

from livegift.features.earnings.queries import note
from livegift.features.earnings.routes import ROUTES
from livegift.features.slots import Feature
from livegift.ledger.participants import Participant

FEATURE = Feature("earnings", routes=ROUTES, booking=(Participant("earnings", 40, note),))
