"""The parts of spending limits for other features."""

from livegift.features.spending_limits.service import frozen_reason

__all__ = ["frozen_reason"]
