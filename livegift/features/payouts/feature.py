"""The feature's offers to the rest of the system."""

from livegift.features.payouts.checks import wrong_payouts
from livegift.features.payouts.errors import ERRORS
from livegift.features.payouts.routes import ROUTES
from livegift.features.payouts.settings import PayoutSettings
from livegift.features.payouts.tables import payout_accounts, payout_batches, payouts, sender_holds
from livegift.features.slots import Feature
from livegift.operations.audit import Invariant

FEATURE = Feature(
    "payouts",
    routes=ROUTES,
    errors=ERRORS,
    invariants=(
        Invariant(
            8,
            "each payout has exactly the transfers that its status says",
            wrong_payouts,
        ),
    ),
    tables=(payouts, payout_accounts, payout_batches, sender_holds),
    settings=PayoutSettings,
)
