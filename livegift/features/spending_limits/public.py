"""What other features may use of spending limits."""

from livegift.features.spending_limits.service import frozen_reason

__all__ = ["frozen_reason"]
