"""A room's viewers, and what each of them has got."""

from collections.abc import Collection

from livegift.hub.broadcast import Broadcast, SocketWriter
from livegift.hub.frames import Frame, Known, Viewer
from livegift.hub.prepared_message import PreparedMessage
from livegift.runtime import metrics


class Audience:
    """The viewers of one room in this process. Whoever does not keep up is left out until he is taken back."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._viewers: dict[SocketWriter, Viewer] = {}  # who keeps up
        self._broadcast = Broadcast()
        self._wants_all: set[Viewer] = set()  # every event, whatever the cap
        self._fresh: dict[Viewer, int] = {}  # who has a snapshot that is ahead of the last frame, and up to where
        self._behind: dict[Viewer, Known] = {}  # who does not keep up, and what he has got

    @property
    def present(self) -> int:
        """How many look on, those who don't keep up included."""
        return len(self._viewers) + len(self._behind)

    # --- Coming and going ---------------------------------------------------------------------------------------------

    def show_all_to(self, viewer: Viewer) -> None:
        """Whatever the cap, this one gets every event, until it leaves."""
        self._wants_all.add(viewer)

    def admit(self, viewer: Viewer, fresh_seq: int | None) -> None:
        """Frames go to `viewer` from now on; `fresh_seq` is what its snapshot has beyond the last frame."""
        if viewer.socket_writer not in self._viewers:
            self._viewers[viewer.socket_writer] = viewer
            self._broadcast.add(viewer.socket_writer)
        if fresh_seq is not None:
            self._fresh[viewer] = fresh_seq

    def leave(self, viewer: Viewer) -> None:
        """No more frames for `viewer`."""
        self._drop(viewer)
        self._behind.pop(viewer, None)
        self._wants_all.discard(viewer)

    def _drop(self, viewer: Viewer) -> None:
        self._fresh.pop(viewer, None)
        if self._viewers.pop(viewer.socket_writer, None) is not None:
            self._broadcast.remove(viewer.socket_writer)

    def fall_behind(self, viewer: Viewer, known: Known) -> None:
        """Nothing more for `viewer` until it has drained; then what it has missed."""
        self._drop(viewer)
        self._behind[viewer] = known
        viewer.lag()

    def take_behind(self, viewer: Viewer) -> Known | None:
        """What a viewer who did not keep up has got; it has to be admitted again."""
        return self._behind.pop(viewer, None)

    def ahead_of(self, seq: int) -> set[Viewer]:
        """Who has a snapshot beyond `seq`."""
        return {viewer for viewer, fresh_seq in self._fresh.items() if fresh_seq > seq}

    def forget_snapshots(self) -> None:
        """The room's numbers have changed."""
        self._fresh.clear()

    # --- Writing ------------------------------------------------------------------------------------------------------

    def write(self, message: PreparedMessage, known: Known, *, skip: Collection[Viewer] = ()) -> None:
        """Write to everybody but `skip`. Who can't take it has got what is `known`."""
        for viewer in self._refused(message, skip):
            self.fall_behind(viewer, known)

    def tell(self, message: PreparedMessage) -> None:
        """Write what a later one will tell as well: whoever can't take it has missed nothing."""
        for viewer in self._refused(message):
            viewer.lag()

    def _refused(self, message: PreparedMessage, skip: Collection[Viewer] = ()) -> list[Viewer]:
        """Write to everybody but `skip`; who could not take it."""
        skipped = {viewer.socket_writer for viewer in skip}
        paused = self._broadcast.write(message.plain, lambda: message.deflated, skipped)
        return [viewer for viewer in map(self._viewers.__getitem__, paused) if not viewer.write_shared(message)]

    def show(self, frame: Frame) -> None:
        """Write a frame's events, to each the variant that is for it."""
        metrics.FRAMES.inc()
        metrics.FRAME_WRITES.inc(len(self._viewers))
        apart = self._fresh if frame.capped is frame.whole else self._fresh.keys() | self._wants_all
        self.write(frame.capped, Known(frame.epoch, frame.first_seq - 1), skip=apart)
        for viewer in [v for v in apart if v.socket_writer in self._viewers]:
            self._show_apart(viewer, frame)

    def _show_apart(self, viewer: Viewer, frame: Frame) -> None:
        """To one who has a newer snapshot than the others, or who gets every event."""
        known_seq = self._fresh.get(viewer, frame.first_seq - 1)
        if known_seq <= frame.seq:
            self._fresh.pop(viewer, None)
        rest = frame.after(known_seq)
        if rest is not None and not viewer.write_shared(self.variant(rest, viewer)):
            self.fall_behind(viewer, Known(frame.epoch, known_seq))

    def variant(self, frame: Frame, viewer: Viewer) -> PreparedMessage:
        """The one that is for `viewer`."""
        return frame.whole if viewer in self._wants_all else frame.capped
