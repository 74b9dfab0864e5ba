"""What this feature offers to the rest."""

from livegift.features.slots import Feature
from livegift.features.wallets.routes import ROUTES

FEATURE = Feature("wallets", routes=ROUTES)
