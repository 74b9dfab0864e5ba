"""The feature's offers to the rest of the system."""

from livegift.features.receipts.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("receipts", routes=ROUTES)
