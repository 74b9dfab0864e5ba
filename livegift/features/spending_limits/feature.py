"""The feature's offers to the rest of the system. The debit itself checks the limits, so their table is the core's."""

from livegift.features.slots import Feature
from livegift.features.spending_limits.checks import wrong_limits
from livegift.features.spending_limits.routes import ROUTES
from livegift.features.spending_limits.settings import SpendingLimitSettings
from livegift.operations.audit import Invariant

FEATURE = Feature(
    "spending_limits",
    routes=ROUTES,
    invariants=(
        Invariant(
            9,
            "limits in Redis are the ledger's at the same version, no version is missing, no gift was above its limit",
            wrong_limits,
        ),
    ),
    settings=SpendingLimitSettings,
)
