"""Rate limits: commands of a connection and of a user, connections of an address and of a process."""

import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from livegift.runtime import metrics
from livegift.runtime.bounds import (
    FRAME_UNIT_BYTES,
    FRAME_UNITS_PER_COMMAND,
    ODD_FRAMES_BURST_MAX,
    ODD_FRAMES_PER_S_MAX,
    RATE_BUCKETS_MAX,
    REQUEST_BURST_S,
)
from livegift.runtime.net import network_of

BURST_FACTOR = 2


class TokenBucket:
    """A token bucket: at most `rate` a second, with bursts of twice that or of `burst`. A rate of 0 means no limit."""

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a full bucket."""
        self._rate = rate
        self._burst = float(rate * BURST_FACTOR if burst is None else burst)
        self._clock = clock
        self._tokens = self._burst
        self._at = clock()

    def take(self, units: int = 1) -> int:
        """Return 0 if so many may pass now, else the milliseconds until they may (if the burst is large enough)."""
        if self._rate == 0:
            return 0
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= units:
            self._tokens -= units
            return 0
        return max(1, int((units - self._tokens) / self._rate * 1000))


class Buckets:
    """A bucket for each key, such as an address. At most `most` are kept, the most recently used ones.

    A forgotten key begins with a full bucket. Exploiting that would take requests from as many other addresses.
    """

    def __init__(self, rate: float, burst: float, most: int = RATE_BUCKETS_MAX) -> None:
        """Create buckets of one rate and one burst; a rate of 0 means no limit."""
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key: str, units: int = 1) -> int:
        """Take from the bucket of `key`, as `TokenBucket.take` does."""
        if self._rate == 0:
            return 0
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(units)

    @property
    def count(self) -> int:
        """Return how many buckets there are at the moment."""
        return len(self._buckets)


class FrameBudget:
    """A connection's budget for everything it sends: reads, frames, bytes; with less for what carries no message.

    Clients of this server send whole messages, a few a second. Control frames, fragments and single bytes cost more
    than they carry, and are not counted as commands.
    """

    __slots__ = ("_all", "_odd")

    def __init__(self, commands_per_s_max: int) -> None:
        """Derive the budget from the rate of commands; 0 leaves only the limit on what carries no message."""
        self._all = TokenBucket(FRAME_UNITS_PER_COMMAND * commands_per_s_max)
        self._odd: TokenBucket | None = None

    def spend(self, frames: int, size: int) -> bool:
        """Count a read of so many whole frames and bytes. Returns False when that is too much."""
        return self._all.take(1 + frames + size // FRAME_UNIT_BYTES) == 0

    def spend_odd(self) -> bool:
        """Count a control frame, a fragment, or a few bytes that complete no frame.

        Returns False when that is too much.
        """
        if self._odd is None:  # few connections ever need one
            self._odd = TokenBucket(ODD_FRAMES_PER_S_MAX, ODD_FRAMES_BURST_MAX)
        return self._odd.take() == 0


class Admission:
    """The admission of connections. A maximum of 0 means no limit."""

    def __init__(self, *, connections_max: int, per_address_max: int, per_s_max: int, address_per_s_max: int) -> None:
        """Set this process's limits. Addresses without a maximum have no rate either, as all clients may share one."""
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._bucket = TokenBucket(per_s_max)
        self._by_address: Counter[str] = Counter()
        # All connections of an address can come back at once, as after a restart.
        burst = max(per_address_max, REQUEST_BURST_S * address_per_s_max)
        self._rates = Buckets(address_per_s_max if per_address_max else 0, burst)
        self._open = 0
        self.is_draining = False

    def enter(self, address: str) -> str | None:
        """Count a connection in, or return why it is refused."""
        address = network_of(address)
        if self.is_draining:
            return self._refuse("draining")
        if self._connections_max and self._open >= self._connections_max:
            return self._refuse("full")
        if self._per_address_max and self._by_address[address] >= self._per_address_max:
            return self._refuse("address")
        if self._rates.take(address):
            return self._refuse("address_rate")
        if self._bucket.take():
            return self._refuse("rate")
        self._open += 1
        self._by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """Count a connection out that was counted in."""
        address = network_of(address)
        self._open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    @staticmethod
    def _refuse(reason: str) -> str:
        metrics.CONNECTIONS_REFUSED.labels(reason).inc()
        return reason


def spread(upto: float) -> float:
    """Return a random share of `upto`, so that clients told to come back do not all come at once."""
    return random.random() * upto  # noqa: S311 - not a secret
