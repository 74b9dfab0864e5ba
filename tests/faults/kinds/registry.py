"""The registry of kinds of fault."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Strike = Callable[[Any, Random], Awaitable[None]]  # takes the World


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. A fault in the background continues while others strike."""

    name: str
    strike: Strike
    group: str
    weight: int
    in_background: bool

    @property
    def goes_with_others(self) -> bool:
        """Return whether it may strike while a store fails: it touches no store itself, and is short."""
        return self.group in ("process", "network") and not self.in_background


REGISTRY: dict[str, Kind] = {}


class SkippedError(Exception):
    """The fault can't be done on this machine; the message says why."""


def fault(name: str, group: str, *, weight: int = 2, in_background: bool = False) -> Callable[[Strike], Strike]:
    """Register a function as a kind of fault."""

    def register(strike: Strike) -> Strike:
        assert name not in REGISTRY
        REGISTRY[name] = Kind(name, strike, group, weight, in_background)
        return strike

    return register
