"""How much is too much: commands of a connection and of a user, connections of an address and in all."""

import random
import time
from collections import Counter
from collections.abc import Callable

from livegift import metrics

BURST_FACTOR = 2


class TokenBucket:
    """At most `rate` a second, with bursts of twice that. A rate of 0 lets everything through."""

    __slots__ = ("_at", "_clock", "_rate", "_tokens")

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts full."""
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate * BURST_FACTOR)
        self._at = clock()

    def take(self) -> int:
        """0 when one may pass, else in how many milliseconds the next one may."""
        if self._rate == 0:
            return 0
        now = self._clock()
        self._tokens = min(self._rate * BURST_FACTOR, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(1, int((1 - self._tokens) / self._rate * 1000))


class Admission:
    """Who may connect. A maximum of 0 is none."""

    def __init__(self, *, connections_max: int, per_address_max: int, per_s_max: int) -> None:
        """All for this process."""
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._bucket = TokenBucket(per_s_max)
        self._by_address: Counter[str] = Counter()
        self._open = 0
        self.is_draining = False

    def enter(self, address: str) -> str | None:
        """Count a connection in, or say why it may not come."""
        if self.is_draining:
            return self._refuse("draining")
        if self._connections_max and self._open >= self._connections_max:
            return self._refuse("full")
        if self._per_address_max and self._by_address[address] >= self._per_address_max:
            return self._refuse("address")
        if self._bucket.take():
            return self._refuse("rate")
        self._open += 1
        self._by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """Count one out that has entered."""
        self._open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    @staticmethod
    def _refuse(reason: str) -> str:
        metrics.CONNECTIONS_REFUSED.labels(reason).inc()
        return reason


def spread(upto: float) -> float:
    """A random share of `upto`, so that those who are told to come back do not all come at once."""
    return random.random() * upto  # noqa: S311 - not a secret
