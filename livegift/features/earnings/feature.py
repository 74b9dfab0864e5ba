"""What this feature offers to the rest."""

from livegift.features.earnings.queries import note
from livegift.features.slots import Feature
from livegift.ledger.participants import Participant

FEATURE = Feature("earnings", booking=(Participant("earnings", 40, note),))
