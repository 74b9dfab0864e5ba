"""The parts of grants for other features."""

from livegift.features.grants.service import grant_coins

__all__ = ["grant_coins"]
