"""What this feature offers to the rest."""

from livegift.features.receipts.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("receipts", routes=ROUTES)
