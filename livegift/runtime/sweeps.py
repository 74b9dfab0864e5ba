"""Sweeps: repeated work that finishes what crashes have left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sweep:
    """`work` to be repeated, with a pause of `period_s` before each time, by every aggregator.

    When a store is away (StoreUnavailableError, LedgerUnavailableError), the rest is done the next time. Any other
    exception is a fault and stops the aggregator: catch RequestError for each item, so that one refusal does not
    hold up the rest.
    """

    name: str
    period_s: float
    work: Callable[[], Awaitable[object]]
