"""What other features may use of grants."""

from livegift.features.grants.service import grant_coins

__all__ = ["grant_coins"]
