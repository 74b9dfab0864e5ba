"""What a feature may offer: named slots, each read by the one part of the system that it is for.

Nothing outside a feature's package knows the feature, except the list in `livegift.composition`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's offers; an empty slot offers nothing."""

    name: str
