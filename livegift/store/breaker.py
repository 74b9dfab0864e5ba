"""Whether a Redis node can be counted on at the moment."""

import random
import time
from collections.abc import Callable

from livegift.runtime.bounds import PROBE_PAUSE_MAX_S, PROBE_PAUSE_MIN_S

_DOUBLINGS_MAX = 30  # far beyond the cap, and no float overflows


class Breaker:
    """Open while a node does not answer, or not fast enough: then nobody waits for it.

    One owner opens it, probes and closes it: who sends gifts there (hub/debit_batcher.py). All others only look, so a
    hello or a join is answered at once too. Where no gifts are sent it stays closed.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._pauses = 0
        self._opened_at = 0.0
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing should be sent."""
        return self.reason is not None

    def open(self, reason: str) -> bool:
        """Send nothing from now on. False when it was open before: the first reason stays."""
        if self.is_open:
            return False
        self.reason = reason
        self._opened_at = time.monotonic()
        return True

    def close(self) -> float:
        """Send again. Returns for how many seconds it was open. Call `worked` once real work has gone through."""
        self.reason = None
        return time.monotonic() - self._opened_at

    def worked(self) -> None:
        """The node does what it is there for: the next pauses begin short.

        Not already after a probe: a node that answers probes and nothing else would be tried without pause.
        """
        self._pauses = 0

    def next_pause_s(self) -> float:
        """How long to wait before the next probe: doubling up to a limit, each by chance up to half as long.

        By chance, so that many processes do not come back at the same moment.
        """
        pause_s: float = min(PROBE_PAUSE_MAX_S, PROBE_PAUSE_MIN_S * 2.0 ** min(self._pauses, _DOUBLINGS_MAX))
        self._pauses += 1
        return pause_s * (1 - self._jitter() / 2)
