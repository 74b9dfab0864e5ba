"""The feature's offers to the rest of the system."""

from livegift.features.payouts.checks import wrong_payouts
from livegift.features.payouts.routes import ROUTES
from livegift.features.slots import Feature
from livegift.operations.audit import Invariant

FEATURE = Feature(
    "payouts",
    routes=ROUTES,
    invariants=(
        Invariant(
            8,
            "earnings by the hour are the gifts', each payout has exactly the transfers that its status says",
            wrong_payouts,
        ),
    ),
)
