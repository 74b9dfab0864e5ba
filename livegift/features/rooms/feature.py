"""The feature's offers to the rest of the system."""

from livegift.features.rooms.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("rooms", routes=ROUTES)
