"""Work that is repeated for ever, to finish what crashes have left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sweep:
    """`work` every `period_s`; what could not be done for want of a store is done the next time."""

    name: str
    period_s: float
    work: Callable[[], Awaitable[object]]
