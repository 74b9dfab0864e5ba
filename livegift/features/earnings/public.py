"""The parts of earnings for other features: creators' earnings, and clawbacks."""

from livegift.features.earnings.clawbacks import GivenBack, RefundTerms, claw_back, held_back_of
from livegift.features.earnings.queries import TAKEN_BACK, earnings_of, lock_creator
from livegift.features.earnings.rules import RefundPolicy

__all__ = [
    "TAKEN_BACK",
    "GivenBack",
    "RefundPolicy",
    "RefundTerms",
    "claw_back",
    "earnings_of",
    "held_back_of",
    "lock_creator",
]
