"""What this feature offers to the rest."""

from livegift.features.slots import Feature

FEATURE = Feature("corrections")
