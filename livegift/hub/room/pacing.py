"""When a frame may go: a room's first event at once, then, while more keep coming, one frame every flush interval."""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from livegift.hub.room.order import News
from livegift.runtime.bounds import ROOM_PENDING_EVENTS_MAX, ROOM_TOP_S


class Batch(NamedTuple):
    """The events of one frame. `top` is None when viewers know it, or will be told soon enough."""

    epoch: int
    first_seq: int
    events: Sequence[bytes]
    totals: bytes
    top: bytes | None

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self.first_seq + len(self.events) - 1


class Pacing:
    """Collects a room's events until a frame may go. Times are seconds of a clock that never goes back."""

    def __init__(self, flush_s: float) -> None:
        """`flush_s` is the least time between two frames."""
        self._flush_s = flush_s
        self.sent_seq = 0  # of the last event that went out, or that a snapshot to everybody has
        self.is_held = False  # by a snapshot that everybody must get first
        self._epoch = self._first_seq = 0
        self._events: list[bytes] = []
        self._totals = self._top = b""
        self._top_sent = b""
        self._top_at_s = self._flushed_at_s = -inf
        self._is_awaited = False  # somebody will call `wake`

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more events until what holds them is out."""
        return self.is_held and len(self._events) >= ROOM_PENDING_EVENTS_MAX

    def add(self, news: News, now_s: float) -> float | None:
        """Collect events. Returns in how many seconds to call `wake`; 0 to `take` at once; None when that is arranged.

        ROOM_PENDING_EVENTS_MAX events do not wait.
        """
        if not self._events:
            self._epoch, self._first_seq = news.epoch, news.first_seq
        self._events += news.events
        self._totals, self._top = news.totals, news.top
        wait_s = self._flushed_at_s + self._flush_s - now_s
        if wait_s <= 0 or len(self._events) >= ROOM_PENDING_EVENTS_MAX:
            return 0.0
        if self._is_awaited:
            return None
        self._is_awaited = True
        return wait_s

    def wake(self, now_s: float) -> Batch | None:
        """Take what has waited for this moment."""
        self._is_awaited = False
        return self.take(now_s)

    def take(self, now_s: float) -> Batch | None:
        """Take all events for a frame that goes out now; there is no `wake` to wait for any more. None: no frame."""
        if not self._events or self.is_held:
            return None
        top = None
        if self._top != self._top_sent and now_s >= self._top_at_s + ROOM_TOP_S:
            top = self._top_sent = self._top
            self._top_at_s = now_s
        batch = Batch(self._epoch, self._first_seq, self._events, self._totals, top)
        self._events = []
        self.sent_seq = batch.seq
        self._flushed_at_s = now_s
        self._is_awaited = False
        return batch

    def restart(self, seq: int) -> None:
        """Forget what was collected: everything up to `seq` is in a snapshot."""
        self._events = []
        self.sent_seq = seq

    def take_top(self) -> bytes | None:
        """Take the ranks to be told without a frame: those that viewers do not know and that no event brings."""
        if self._events or self._top == self._top_sent:
            return None
        self._top_sent = self._top
        return self._top
