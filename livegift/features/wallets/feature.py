"""The feature's offers to the rest of the system."""

from livegift.features.slots import Feature
from livegift.features.wallets.routes import ROUTES

FEATURE = Feature("wallets", routes=ROUTES)
