"""The feature's offers to the rest of the system."""

from livegift.features.demo.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("demo", routes=ROUTES)
