"""A circuit breaker for a Redis node."""

import random
import time
from collections.abc import Callable

from livegift.runtime.bounds import PROBE_PAUSE_MAX_S, PROBE_PAUSE_MIN_S

_DOUBLINGS_MAX = 30  # far beyond the cap, and no float overflows


class Breaker:
    """A circuit breaker: open while a node does not answer, or not fast enough.

    Callers then fail at once instead of waiting. Its one owner, the sender of gifts (hub/debit_batcher.py), opens,
    probes and closes it. All others only read it, so a hello or a join gets its answer at once too. In a process that
    sends no gifts it stays closed.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        """Create a closed breaker. `jitter` returns numbers from 0 to 1."""
        self._jitter = jitter
        self._pauses = 0
        self._opened_at = 0.0
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Return whether commands should fail at once instead of being sent."""
        return self.reason is not None

    def open(self, reason: str) -> bool:
        """Open the breaker. Returns False when it was open already; the first reason is kept."""
        if self.is_open:
            return False
        self.reason = reason
        self._opened_at = time.monotonic()
        return True

    def close(self) -> float:
        """Close the breaker and return how many seconds it was open. Call `worked` once real work has succeeded."""
        self.reason = None
        return time.monotonic() - self._opened_at

    def worked(self) -> None:
        """Reset the back-off, after real work has succeeded.

        A successful probe is not enough: a node that answers only probes would then be tried again without a pause.
        """
        self._pauses = 0

    def next_pause_s(self) -> float:
        """Return the pause before the next probe, in seconds: it doubles up to a limit, less a random part.

        That part is up to half of it, so that many processes do not come back at the same moment.
        """
        pause_s: float = min(PROBE_PAUSE_MAX_S, PROBE_PAUSE_MIN_S * 2.0 ** min(self._pauses, _DOUBLINGS_MAX))
        self._pauses += 1
        return pause_s * (1 - self._jitter() / 2)
