"""What this feature offers to the rest."""

from livegift.features.audit_trail.routes import ROUTES
from livegift.features.slots import Feature

FEATURE = Feature("audit_trail", routes=ROUTES)
