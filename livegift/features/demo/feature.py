"""What this feature offers to the rest."""

from livegift.features.demo.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("demo", routes=ROUTES)
