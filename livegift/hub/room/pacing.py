"""Pacing of frames: a room's first event goes at once; while more keep coming, one frame per flush interval."""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from livegift.hub.room.sequence import News
from livegift.runtime.bounds import ROOM_PENDING_EVENTS_MAX, ROOM_TOP_S


class FrameEvents(NamedTuple):
    """The events of one frame. `top` is None when viewers know it, or will be told soon."""

    epoch: int
    first_seq: int
    events: Sequence[bytes]
    totals: bytes
    top: bytes | None

    @property
    def seq(self) -> int:
        """Return the number of the last event."""
        return self.first_seq + len(self.events) - 1


class Pacing:
    """Collects a room's events until a frame may go. Times are seconds of a monotonic clock."""

    def __init__(self, flush_s: float) -> None:
        """Create a pacing with `flush_s`, the least time between two frames."""
        self._flush_s = flush_s
        self.sent_seq = 0  # of the last event that was sent, alone or in a snapshot to everybody
        self.is_held = False  # while everybody must get a snapshot first
        self._epoch = self._first_seq = 0
        self._events: list[bytes] = []
        self._totals = self._top = b""
        self._top_sent = b""
        self._top_at_s = self._flushed_at_s = -inf
        self._is_awaited = False  # `wake` will be called

    @property
    def is_full(self) -> bool:
        """Return whether there is no room for more events until held ones are sent."""
        return self.is_held and len(self._events) >= ROOM_PENDING_EVENTS_MAX

    def add(self, news: News, now_s: float) -> float | None:
        """Collect events.

        Returns the seconds after which to call `wake`; 0 to `take` at once; None if that is arranged.
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

    def wake(self, now_s: float) -> FrameEvents | None:
        """Take the events that have waited for this moment."""
        self._is_awaited = False
        return self.take(now_s)

    def take(self, now_s: float) -> FrameEvents | None:
        """Take all events for a frame that goes out now, which replaces a pending `wake`. Returns None for no frame."""
        if not self._events or self.is_held:
            return None
        top = None
        if self._top != self._top_sent and now_s >= self._top_at_s + ROOM_TOP_S:
            top = self._top_sent = self._top
            self._top_at_s = now_s
        batch = FrameEvents(self._epoch, self._first_seq, self._events, self._totals, top)
        self._events = []
        self.sent_seq = batch.seq
        self._flushed_at_s = now_s
        self._is_awaited = False
        return batch

    def restart(self, seq: int) -> None:
        """Drop collected events: everything up to `seq` is in a snapshot."""
        self._events = []
        self.sent_seq = seq

    def take_top(self) -> bytes | None:
        """Return the ranks that no event brings and viewers do not know yet, to be sent without a frame."""
        if self._events or self._top == self._top_sent:
            return None
        self._top_sent = self._top
        return self._top
