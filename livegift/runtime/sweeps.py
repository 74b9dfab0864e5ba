"""Sweeps: repeated work that finishes what crashes have left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sweep:
    """`work` to be repeated every `period_s`. What fails because a store is away is done the next time."""

    name: str
    period_s: float
    work: Callable[[], Awaitable[object]]
