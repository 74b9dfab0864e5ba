"""Recovery from loss: reading the log again, telling everybody of a gap, and bringing slow viewers up to date."""

from dataclasses import dataclass

from livegift.contract.channels import SnapshotHeader
from livegift.hub.frames import Known, Viewer


class CatchUp:
    """Reads the log until everything known to be missing is there."""

    def __init__(self) -> None:
        """Create a catch-up with nothing missing."""
        self._target = 0
        self._is_reading = False

    def want(self, to_seq: int) -> bool:
        """Record that the room is known to be at `to_seq`. Returns True if reading the log has to begin."""
        self._target = max(self._target, to_seq)
        must_begin, self._is_reading = not self._is_reading, True
        return must_begin

    def has_to_go_on(self, before: int, seq: int) -> bool:
        """Return whether to read again after a reading that led from `before` to `seq`; if not, the catch-up ends.

        A reading that led nowhere is the last: a later poll of the room's head begins again.
        """
        if seq < self._target and seq != before:
            return True
        self.end()
        return False

    def end(self) -> None:
        """End: nothing is missing any more, or it is not available now."""
        self._target, self._is_reading = 0, False


class SnapshotToAll:
    """The snapshot that everybody has to get when events are no longer available. Only the newest counts."""

    def __init__(self) -> None:
        """Create it without a snapshot."""
        self._header: SnapshotHeader | None = None

    def want(self, header: SnapshotHeader) -> bool:
        """Set the state that everybody has to get. Returns True if its message has to be made."""
        must_begin, self._header = self._header is None, header
        return must_begin

    def superseding(self, header: SnapshotHeader) -> SnapshotHeader | None:
        """Return a newer state, set while the message for `header` was made; None, and end, if there is none.

        Then the message goes out.
        """
        if self._header is not header:
            return self._header
        self.end()
        return None

    def end(self) -> None:
        """End without a snapshot."""
        self._header = None


@dataclass(frozen=True, slots=True, eq=False)
class Rejoin:
    """An attempt to bring a viewer that has drained up to date."""

    viewer: Viewer
    known: Known


class Lagging:
    """The viewers who do not keep up, and those of them who have drained and wait for what they have missed."""

    def __init__(self) -> None:
        """Create an empty set of viewers."""
        self._behind: dict[Viewer, Known] = {}
        self._rejoining: dict[Viewer, Rejoin] = {}

    def __len__(self) -> int:
        return len(self._behind) + len(self._rejoining)

    def fall_behind(self, viewer: Viewer, known: Known) -> None:
        """Record the position of `viewer`: nothing more is written to it until it has drained."""
        self._behind[viewer] = known

    def drained(self, viewer: Viewer) -> Rejoin | None:
        """Begin to bring `viewer` up to date. Returns None if it has missed nothing, or that has begun already."""
        known = self._behind.pop(viewer, None)
        if known is None:
            return None
        rejoin = self._rejoining[viewer] = Rejoin(viewer, known)
        return rejoin

    def is_current(self, rejoin: Rejoin) -> bool:
        """Return whether the viewer still waits for this attempt: it may have left, or joined on its own."""
        return self._rejoining.get(rejoin.viewer) is rejoin

    def failed(self, rejoin: Rejoin) -> bool:
        """Record that the viewer could not be brought up to date. Returns True to try again later."""
        if not self.is_current(rejoin):
            return False
        del self._rejoining[rejoin.viewer]
        self._behind[rejoin.viewer] = rejoin.known
        return True

    def succeeded(self, rejoin: Rejoin) -> None:
        """Record that the viewer was answered."""
        if self.is_current(rejoin):
            del self._rejoining[rejoin.viewer]

    def leave(self, viewer: Viewer) -> None:
        """Remove `viewer`."""
        self._behind.pop(viewer, None)
        self._rejoining.pop(viewer, None)
