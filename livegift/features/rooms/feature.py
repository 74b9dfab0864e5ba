"""What this feature offers to the rest."""

from livegift.features.rooms.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("rooms", routes=ROUTES)
