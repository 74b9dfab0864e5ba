"""The feature's offers to the rest of the system."""

from livegift.features.audit_trail.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("audit_trail", routes=ROUTES)
