"""The order of a room's events: what comes next, what is a repeat, and what is missing."""

from collections.abc import Sequence
from typing import NamedTuple

from livegift.contract.channels import RoomHeader, SnapshotHeader, parse_published
from livegift.runtime.bounds import ROOM_EARLY_MESSAGES_MAX


class News(NamedTuple):
    """The next events, the first of them numbered `first_seq`, and the room's state after the last of them."""

    epoch: int
    first_seq: int
    events: Sequence[bytes]
    totals: bytes
    top: bytes


class Gap(NamedTuple):
    """A gap: events up to `to_seq` did not arrive."""

    to_seq: int


class LogReading(NamedTuple):
    """The room at one moment, with the events after the requested `seq`.

    Unless it `is_complete` there are no events: the log does not have all of them, or the epoch is another.
    """

    header: SnapshotHeader
    is_complete: bool
    events: Sequence[bytes]

    @property
    def first_seq(self) -> int:
        """Return the number of the first event."""
        return self.header.seq - len(self.events) + 1


class EventSequence:
    """Follows the numbers of a room's events. Its output has neither gaps nor duplicates."""

    def __init__(self) -> None:
        """Create a sequence of which nothing is known before `begin`."""
        self.epoch: int | None = None
        self.seq = 0  # of the last event in the output
        self.restarts = 0
        self._early: list[bytes] = []

    def take(self, message: bytes) -> News | Gap | None:
        """Handle a message of the room's channel: a header line, then an event a line. Returns None for nothing new.

        Before `begin` messages are kept, up to ROOM_EARLY_MESSAGES_MAX; the others will be missed and read again.
        """
        if self.epoch is None:
            if len(self._early) < ROOM_EARLY_MESSAGES_MAX:
                self._early.append(message)
            return None
        header, events = parse_published(message)
        first_seq = self.seq + 1
        if header.epoch != self.epoch or header.first_seq > first_seq:
            return Gap(header.seq)
        if header.seq < first_seq:
            return None
        if header.first_seq != first_seq:
            events = events[first_seq - header.first_seq :]
        return self._news(events, header)

    def take_reading(self, reading: LogReading) -> News | None:
        """Handle a reading of the log that `continues` this sequence."""
        return self._news(reading.events[max(self.seq + 1 - reading.first_seq, 0) :], reading.header)

    def _news(self, events: Sequence[bytes], header: RoomHeader | SnapshotHeader) -> News | None:
        if not events:
            return None
        news = News(header.epoch, self.seq + 1, events, bytes(header.totals), bytes(header.top))
        self.seq += len(events)
        return news

    def continues(self, reading: LogReading) -> bool:
        """Return whether everything after `seq` was in the log; otherwise the sequence has to restart."""
        return reading.is_complete and reading.header.epoch == self.epoch

    def is_behind(self, epoch: int, seq: int) -> bool:
        """Return whether the room has more events than have arrived here."""
        return self.epoch is not None and (epoch != self.epoch or seq > self.seq)

    def begin(self, header: SnapshotHeader) -> list[bytes]:
        """Follow the room from its first snapshot on. Returns the messages that came too early: handle them again."""
        self.epoch, self.seq = header.epoch, header.seq
        early, self._early = self._early, []
        return early

    def restart(self, header: SnapshotHeader) -> None:
        """Continue after `header`, whatever is missing before it."""
        self.epoch, self.seq = header.epoch, header.seq
        self.restarts += 1
