"""A room's viewers, and how much each of them has got."""

from collections.abc import Collection

from livegift.contract.messages import answering
from livegift.hub.broadcast import Broadcast, SocketWriter
from livegift.hub.frames import NOTHING_KNOWN, Frame, Known, Viewer
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.effects import AnswerJoin, ShowSnapshot, TellGap
from livegift.runtime import metrics

Fallen = list[tuple[Viewer, Known]]
"""The viewers who could not take something, with their positions: left out until a join of theirs is answered."""


class Audience:
    """The viewers of a room in this process who keep up."""

    def __init__(self) -> None:
        """No viewers."""
        self._viewers: dict[SocketWriter, Viewer] = {}  # those who keep up
        self._broadcast = Broadcast()
        self._wants_all: set[Viewer] = set()  # those who get every event, whatever the cap
        self._fresh: dict[Viewer, int] = {}  # those whose snapshot is ahead of the last frame -> its seq

    def __len__(self) -> int:
        return len(self._viewers)

    # --- Coming and going ---------------------------------------------------------------------------------------------

    def show_all_to(self, viewer: Viewer) -> None:
        """Show every event to `viewer`, whatever the cap, until it leaves."""
        self._wants_all.add(viewer)

    def answer_join(self, join: AnswerJoin, message: PreparedMessage) -> Fallen:
        """Write a joiner its snapshot and what belongs to it, and add it to the audience."""
        joiner = join.joiner
        viewer = joiner.viewer
        if joiner.command_id is not None:  # its own answer; the others share theirs
            message = PreparedMessage(answering(joiner.command_id, message.payload))
        if not viewer.write_shared(message):
            return [self._fall(viewer, Known(joiner.since.epoch, joiner.since.seq, joiner.command_id))]
        if join.gap is not None:
            viewer.write(join.gap)
        for frame in join.frames:
            viewer.write(self._variant(frame, viewer).payload)
        if viewer.socket_writer not in self._viewers:
            self._viewers[viewer.socket_writer] = viewer
            self._broadcast.add(viewer.socket_writer)
        if join.fresh_seq is not None:
            self._fresh[viewer] = join.fresh_seq
        return []

    def leave(self, viewer: Viewer) -> None:
        """Stop writing frames to `viewer`."""
        self._drop(viewer)
        self._wants_all.discard(viewer)

    def _drop(self, viewer: Viewer) -> None:
        self._fresh.pop(viewer, None)
        if self._viewers.pop(viewer.socket_writer, None) is not None:
            self._broadcast.remove(viewer.socket_writer)

    def _fall(self, viewer: Viewer, known: Known) -> tuple[Viewer, Known]:
        self._drop(viewer)
        viewer.lag()
        return viewer, known

    # --- Writing ------------------------------------------------------------------------------------------------------

    def show_gap(self, gap: TellGap) -> Fallen:
        """Tell everybody of a gap, after which earlier positions are not valid."""
        refused = self._refused(gap.message) if gap.message is not None else []
        self._fresh.clear()
        return [self._fall(viewer, NOTHING_KNOWN) for viewer in refused]

    def show_snapshot(self, snapshot: ShowSnapshot) -> Fallen:
        """Write the room's state to everybody, except those who have joined with a newer one."""
        ahead = {viewer for viewer, fresh_seq in self._fresh.items() if fresh_seq > snapshot.seq}
        return [self._fall(viewer, NOTHING_KNOWN) for viewer in self._refused(snapshot.message, ahead)]

    def write_latest(self, message: PreparedMessage) -> None:
        """Write a message that a later one repeats: whoever can't take it has missed nothing."""
        for viewer in self._refused(message):
            viewer.lag()

    def _refused(self, message: PreparedMessage, skip: Collection[Viewer] = ()) -> list[Viewer]:
        """Write to everybody but `skip`; returns the viewers who could not take it."""
        skipped = {viewer.socket_writer for viewer in skip}
        paused = self._broadcast.write(message.plain, lambda: message.deflated, skipped)
        return [viewer for viewer in map(self._viewers.__getitem__, paused) if not viewer.write_shared(message)]

    def show(self, frame: Frame) -> Fallen:
        """Write a frame to everybody, to each in its variant."""
        metrics.FRAMES.inc()
        metrics.FRAME_WRITES.inc(len(self._viewers))
        apart = self._fresh if frame.capped is frame.whole else self._fresh.keys() | self._wants_all
        refused = self._refused(frame.capped, apart)
        fallen = [self._fall(viewer, Known(frame.epoch, frame.first_seq - 1)) for viewer in refused]
        for viewer in [v for v in apart if v.socket_writer in self._viewers]:
            fallen += self._show_apart(viewer, frame)
        return fallen

    def _show_apart(self, viewer: Viewer, frame: Frame) -> Fallen:
        """Write a frame to a viewer who has a newer snapshot than the others, or who gets every event."""
        known_seq = self._fresh.get(viewer, frame.first_seq - 1)
        if known_seq <= frame.seq:
            self._fresh.pop(viewer, None)
        rest = frame.after(known_seq)
        if rest is not None and not viewer.write_shared(self._variant(rest, viewer)):
            return [self._fall(viewer, Known(frame.epoch, known_seq))]
        return []

    def _variant(self, frame: Frame, viewer: Viewer) -> PreparedMessage:
        """Return the variant for `viewer`."""
        return frame.whole if viewer in self._wants_all else frame.capped
