"""What a room's followers do about loss: read the log again, tell everybody of a gap, take back who did not keep up."""

from dataclasses import dataclass

from livegift.contract.channels import SnapshotHeader
from livegift.hub.frames import Known, Viewer


class CatchUp:
    """Reads the log until everything is there that is known to be missing."""

    def __init__(self) -> None:
        """Nothing is missing."""
        self._target = 0
        self._is_reading = False

    def want(self, to_seq: int) -> bool:
        """Note that the room is at `to_seq`, as far as is known. True: begin to read the log."""
        self._target = max(self._target, to_seq)
        must_begin, self._is_reading = not self._is_reading, True
        return must_begin

    def has_to_go_on(self, before: int, seq: int) -> bool:
        """Return whether to read again after a reading that led from `before` to `seq`; if not, it is over.

        A reading that led nowhere is the last: a later poll of the room's head begins again.
        """
        if seq < self._target and seq != before:
            return True
        self.end()
        return False

    def end(self) -> None:
        """Nothing is missing any more, or it can't be had now."""
        self._target, self._is_reading = 0, False


class SnapshotToAll:
    """The snapshot that everybody has to get when events can't be had any more. Only the newest counts."""

    def __init__(self) -> None:
        """There is none."""
        self._header: SnapshotHeader | None = None

    def want(self, header: SnapshotHeader) -> bool:
        """Have everybody get this state. True: begin to make the message."""
        must_begin, self._header = self._header is None, header
        return must_begin

    def superseding(self, header: SnapshotHeader) -> SnapshotHeader | None:
        """Return the state that came while the message for `header` was made; None, and it is over, if there is none.

        Then the message goes out.
        """
        if self._header is not header:
            return self._header
        self.end()
        return None

    def end(self) -> None:
        """Nobody gets it any more."""
        self._header = None


@dataclass(frozen=True, slots=True, eq=False)
class Rejoin:
    """One attempt to bring a viewer that has drained up to date."""

    viewer: Viewer
    known: Known


class Lagging:
    """The viewers who do not keep up, and those of them who have drained and wait for what they have missed."""

    def __init__(self) -> None:
        """None."""
        self._behind: dict[Viewer, Known] = {}
        self._rejoining: dict[Viewer, Rejoin] = {}

    def __len__(self) -> int:
        return len(self._behind) + len(self._rejoining)

    def fall_behind(self, viewer: Viewer, known: Known) -> None:
        """Note what `viewer` has got: nothing more is written to it until it has drained."""
        self._behind[viewer] = known

    def drained(self, viewer: Viewer) -> Rejoin | None:
        """Begin to bring `viewer` up to date. None: it has missed nothing, or that has begun already."""
        known = self._behind.pop(viewer, None)
        if known is None:
            return None
        rejoin = self._rejoining[viewer] = Rejoin(viewer, known)
        return rejoin

    def is_current(self, rejoin: Rejoin) -> bool:
        """Return whether the viewer still waits for this attempt: it may have left, or joined on its own."""
        return self._rejoining.get(rejoin.viewer) is rejoin

    def failed(self, rejoin: Rejoin) -> bool:
        """Note that the viewer could not be brought up to date. True: try again later."""
        if not self.is_current(rejoin):
            return False
        del self._rejoining[rejoin.viewer]
        self._behind[rejoin.viewer] = rejoin.known
        return True

    def succeeded(self, rejoin: Rejoin) -> None:
        """The viewer was answered."""
        if self.is_current(rejoin):
            del self._rejoining[rejoin.viewer]

    def leave(self, viewer: Viewer) -> None:
        """Forget `viewer`."""
        self._behind.pop(viewer, None)
        self._rejoining.pop(viewer, None)
