"""The joins of a room. One read serves all who asked before it began; later ones are served by the next read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from livegift.contract.channels import SnapshotHeader
from livegift.contract.values import CommandId
from livegift.hub.frames import Frame, Viewer
from livegift.hub.room.sequence import LogReading


class Place(NamedTuple):
    """The position after which a viewer needs events; None for what is not known."""

    seq: int | None
    epoch: int | None


@dataclass(slots=True, eq=False)
class Joiner:
    """A viewer who waits for a snapshot with the events after `since`."""

    viewer: Viewer
    since: Place
    command_id: CommandId | None = None
    has_left: bool = False  # nothing more is written to it


@dataclass(slots=True, eq=False)
class Round:
    """The joiners that are served together.

    Most of them have the same position: one message is made for each position.
    """

    joiners: list[Joiner]
    restarts: int  # of the room's sequence when the read began
    reading: LogReading | None = None
    missed: dict[Place, Sequence[bytes] | None] = field(default_factory=dict)
    """The events that joiners have missed; None when not all are available."""

    @property
    def since(self) -> int | None:
        """Return the event after which to read; None for a snapshot without events."""
        return min((joiner.since.seq for joiner in self.joiners if joiner.since.seq is not None), default=None)

    @property
    def places(self) -> list[Place]:
        """Return the positions that need a message each."""
        return list(dict.fromkeys(joiner.since for joiner in self.joiners))

    def needs_own_reading(self, place: Place) -> bool:
        """Return whether `place` needs a reading of its own: somebody else wanted more than the log has."""
        return self._can_go_on(place) and not self._read.is_complete

    def find(self, place: Place, own: LogReading | None) -> Sequence[bytes] | None:
        """Find and store the events missed since `place`. `own` is a reading for this place alone."""
        self.missed[place] = events = self._find(place, self._read if own is None else own)
        return events

    def _find(self, place: Place, reading: LogReading) -> Sequence[bytes] | None:
        if place.seq is None:
            return ()
        if not self._can_go_on(place) or not reading.is_complete:
            return None
        first_seq = reading.first_seq
        return reading.events[place.seq + 1 - first_seq : self._read.header.seq + 1 - first_seq]

    def _can_go_on(self, place: Place) -> bool:
        header = self._read.header
        return place.seq is not None and place.seq <= header.seq and place.epoch in (None, header.epoch)

    @property
    def _read(self) -> LogReading:
        assert self.reading is not None  # noqa: S101 - a round is answered after it was read
        return self.reading


class Joins:
    """The viewers who wait for a snapshot, and the frames that they must not miss meanwhile."""

    def __init__(self) -> None:
        """Create no joins."""
        self._waiting: list[Joiner] = []
        self._round: Round | None = None
        self._is_serving = False
        self._frames: list[Frame] = []  # sent since the round began

    @property
    def is_idle(self) -> bool:
        """Return whether nobody waits."""
        return not self._waiting and not self._is_serving

    @property
    def has_waiting(self) -> bool:
        """Return whether there has to be another round."""
        return bool(self._waiting)

    def add(self, joiner: Joiner) -> bool:
        """Add a joiner. Returns True if rounds have to begin, once all who join together have been added."""
        self._waiting.append(joiner)
        must_begin, self._is_serving = not self._is_serving, True
        return must_begin

    def leave(self, viewer: Viewer) -> None:
        """Stop answering `viewer`, even if its round has begun."""
        for joiners in (self._waiting, self._round.joiners if self._round else ()):
            for joiner in joiners:
                joiner.has_left = joiner.has_left or joiner.viewer is viewer

    def withdraw(self, joiner: Joiner) -> None:
        """Stop answering this joiner."""
        joiner.has_left = True
        if joiner in self._waiting:
            self._waiting.remove(joiner)

    def begin(self, restarts: int) -> Round | None:
        """Begin a round for all who wait. Returns None, and ends the rounds, when nobody does."""
        self._frames = []
        self._round = Round(self._waiting, restarts) if self._waiting else None
        self._waiting = []
        self._is_serving = self._round is not None
        return self._round

    def end(self) -> None:
        """End the rounds, even if viewers wait: reading has failed for good."""
        self._round, self._is_serving, self._frames = None, False, []

    def put_off(self, round_: Round) -> None:
        """Serve a round's joiners in the next one: the room has restarted while their snapshot was read."""
        self._waiting = round_.joiners + self._waiting
        round_.joiners = []

    def shown(self, frame: Frame) -> None:
        """Keep a frame that goes out, for those who are joining."""
        if self._is_serving:
            self._frames.append(frame)

    def frames_after(self, header: SnapshotHeader) -> list[Frame]:
        """Return the frames that went out after this snapshot was made."""
        frames = [frame.after(header.seq) for frame in self._frames if frame.epoch == header.epoch]
        return [frame for frame in frames if frame is not None]
