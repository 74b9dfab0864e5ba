"""The feature's offers to the rest of the system."""

from livegift.features.catalogue import admin_routes, routes
from livegift.features.slots import Feature

FEATURE = Feature("catalogue", routes=(*admin_routes.ROUTES, *routes.ROUTES))
