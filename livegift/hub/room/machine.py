"""A room as this process follows it, without I/O: input and time go in, effects come out.

It numbers nothing and sums nothing (the room in Redis does): it keeps the order, notices what is missing, and paces.
Effects are performed in order, before the next input.
"""

from collections.abc import Iterable, Sequence

from msgspec import UNSET

from livegift.contract.channels import SnapshotHeader
from livegift.contract.encoding import encode, written
from livegift.contract.messages import RoomGap, RoomPulse
from livegift.hub.conflation import Conflation
from livegift.hub.frames import Frame, Known, Viewer
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.effects import (
    AnswerJoin,
    Effect,
    ForgetDetails,
    MakeSnapshot,
    Pulse,
    ReadLog,
    Recover,
    RecoverLater,
    ServeJoins,
    ShowSnapshot,
    TellGap,
    Wake,
)
from livegift.hub.room.joins import Joiner, Joins, Round
from livegift.hub.room.pacing import FrameEvents, Pacing
from livegift.hub.room.recovery import CatchUp, Lagging, Rejoin, SnapshotToAll
from livegift.hub.room.sequence import EventSequence, Gap, LogReading, News

_ABOUT_THE_ROOM = b'"type":"room",'

Effects = Sequence[Effect]


def _is_about_the_room(news: News) -> bool:
    return any(_ABOUT_THE_ROOM in event for event in news.events)


class RoomMachine:
    """The sequence of events, pacing, joins and recovery of a room. Times are seconds of a monotonic clock."""

    def __init__(self, room: str, flush_s: float, conflation: Conflation) -> None:
        """Create the machine of `room`. `flush_s` is the least time between two frames."""
        self._room = room
        self._conflation = conflation
        self._sequence = EventSequence()
        self._pacing = Pacing(flush_s)
        self._joins = Joins()
        self._catch_up = CatchUp()
        self._to_all = SnapshotToAll()
        self._lagging = Lagging()
        self.viewer_count = 0  # in all processes, as last told

    @property
    def seq(self) -> int:
        """Return the last event's number."""
        return self._sequence.seq

    @property
    def lagging(self) -> int:
        """Return how many viewers do not keep up, or wait for what they have missed."""
        return len(self._lagging)

    @property
    def is_joining(self) -> bool:
        """Return whether anybody waits for a snapshot."""
        return not self._joins.is_idle

    # --- Events -------------------------------------------------------------------------------------------------------

    def on_message(self, message: bytes, now_s: float) -> Effects:
        """Handle a published message."""
        if self._pacing.is_held and self._pacing.is_full:
            return ()  # as if it were lost: the next one, or the room's head, will show that
        news = self._sequence.take(message)
        if news is None:
            return ()
        if isinstance(news, Gap):
            return self.catch_up(news.to_seq)
        effects = self._accept(news, now_s)
        # Checking the whole message first saves checking each event of most messages.
        return (ForgetDetails(), *effects) if _ABOUT_THE_ROOM in message and _is_about_the_room(news) else effects

    def _accept(self, news: News, now_s: float) -> Effects:
        wait_s = self._pacing.add(news, now_s)
        if wait_s is None:
            return ()
        return (Wake(wait_s),) if wait_s else self.flush(now_s)

    def wake(self, now_s: float) -> Effects:
        """Handle the wake-up that was asked for."""
        return self._frame(self._pacing.wake(now_s), now_s)

    def flush(self, now_s: float) -> Effects:
        """Write pending events as one frame."""
        return self._frame(self._pacing.take(now_s), now_s)

    def _frame(self, batch: FrameEvents | None, now_s: float) -> Effects:
        if batch is None:
            return ()
        epoch, first_seq, events, totals, top = batch
        shown = self._conflation.cap(events, now_s)
        frame = Frame.build(self._room, epoch, first_seq, totals, top, events, shown)
        self._joins.shown(frame)
        return (frame,)

    def pulse(self, viewer_count: int) -> Effects:
        """Tell the viewer count and pending ranks, if they are new: these have no place in the order of events."""
        top = self._pacing.take_top()
        if viewer_count == self.viewer_count and top is None:
            return ()
        self.viewer_count = viewer_count
        pulse = RoomPulse(room=self._room, viewers=viewer_count, top=UNSET if top is None else written(top))
        return (Pulse(PreparedMessage(encode(pulse))),)

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def on_head(self, epoch: int, seq: int) -> Effects:
        """Compare with a head of the room in Redis from a while ago: whatever is missing was lost."""
        return self.catch_up(seq) if self._sequence.is_behind(epoch, seq) else ()

    def catch_up(self, to_seq: int) -> Effects:
        """Read events that did not arrive from the room's log."""
        return self._read_log() if self._sequence.epoch is not None and self._catch_up.want(to_seq) else ()

    def _read_log(self) -> Effects:
        assert self._sequence.epoch is not None  # noqa: S101 - nothing is missed before the first snapshot
        return (ReadLog(self._sequence.seq, self._sequence.epoch, self._sequence.restarts),)

    def on_log(self, asked: ReadLog, reading: LogReading, now_s: float) -> Effects:
        """Handle what was read from the log."""
        if asked.restarts != self._sequence.restarts:
            return self._read_log()  # it was read before the restart
        if self._pacing.is_full:
            self._catch_up.end()
            return ()
        if not self._sequence.continues(reading):
            self._catch_up.end()
            return self._restart(reading.header, now_s)
        news = self._sequence.take_reading(reading)
        effects: list[Effect] = []
        if news is not None:
            effects += self._accept(news, now_s)
            if _is_about_the_room(news):
                effects.insert(0, ForgetDetails())
        if self._catch_up.has_to_go_on(asked.since, self._sequence.seq):
            effects += self._read_log()
        return effects

    def on_log_failed(self) -> None:
        """Give up reading the log; the next poll tries again."""
        self._catch_up.end()

    def _restart(self, header: SnapshotHeader, now_s: float) -> Effects:
        """Restart from the current state, sent to everybody: the log does not reach back, or the room has restarted."""
        sequence = self._sequence
        effects: list[Effect] = [*self.flush(now_s)]
        from_seq = sequence.seq + 1
        gap = PreparedMessage(self._gap(from_seq, header.seq)) if header.epoch == sequence.epoch else None
        effects.append(TellGap(sequence.epoch, from_seq, header.epoch, header.seq, gap))
        sequence.restart(header)
        self._pacing.restart(header.seq)  # pending events are in the snapshot that is being made
        self._pacing.is_held = True
        if self._to_all.want(header):
            effects.append(MakeSnapshot(header))
        return effects

    def _gap(self, from_seq: int, to_seq: int) -> bytes:
        return encode(RoomGap(room=self._room, from_seq=from_seq, to_seq=to_seq))

    def on_snapshot_made(self, header: SnapshotHeader, message: PreparedMessage, now_s: float) -> Effects:
        """Write the latest state to everybody; later frames have waited for it."""
        newer = self._to_all.superseding(header)
        if newer is not None:
            return (MakeSnapshot(newer),)
        self._pacing.is_held = False
        return (ShowSnapshot(message, header.seq), *self.flush(now_s))

    def on_snapshot_failed(self) -> None:
        """Continue with frames although the snapshot's message failed unexpectedly."""
        self._to_all.end()
        self._pacing.is_held = False

    # --- Viewers who don't keep up ------------------------------------------------------------------------------------

    def fall_behind(self, viewer: Viewer, known: Known) -> None:
        """Record that something could not be written to `viewer`, which is at this position."""
        self._lagging.fall_behind(viewer, known)

    def drained(self, viewer: Viewer) -> Effects:
        """Bring a viewer that keeps up again up to date: it gets the room's state and the events that it has missed."""
        rejoin = self._lagging.drained(viewer)
        return () if rejoin is None else (Recover(rejoin),)

    def is_current(self, rejoin: Rejoin) -> bool:
        """Return whether the viewer still waits for this attempt."""
        return self._lagging.is_current(rejoin)

    def rejoined(self, rejoin: Rejoin) -> None:
        """Record that the viewer was answered, or has left."""
        self._lagging.succeeded(rejoin)

    def rejoin_failed(self, rejoin: Rejoin) -> Effects:
        """Record that the viewer could not be answered."""
        return (RecoverLater(rejoin),) if self._lagging.failed(rejoin) else ()

    # --- Joining ------------------------------------------------------------------------------------------------------

    def join(self, joiner: Joiner) -> Effects:
        """Add a joiner, who waits for a snapshot."""
        return (ServeJoins(),) if self._joins.add(joiner) else ()

    def withdraw(self, joiner: Joiner) -> None:
        """Remove a joiner who was answered or waits no longer."""
        self._joins.withdraw(joiner)

    def leave(self, viewer: Viewer) -> None:
        """Stop serving `viewer`."""
        self._lagging.leave(viewer)
        self._joins.leave(viewer)

    def begin_round(self, now_s: float) -> tuple[Round | None, Effects]:
        """Begin to serve all who wait, if anybody does: the room is read after the round's `since`.

        Then comes `on_round_read`; then the missed events of its positions are found, and a message is made for each;
        then `answer_joins`.
        """
        # All frames so far are at or below the snapshot.
        effects = self.flush(now_s) if self._joins.has_waiting else ()
        return self._joins.begin(self._sequence.restarts), effects

    def on_round_read(self, round_: Round, reading: LogReading, now_s: float) -> Effects:
        """Handle a round's snapshot. An outdated one leaves the round without joiners: the next round serves them."""
        sequence, header = self._sequence, reading.header
        round_.reading = reading
        if round_.restarts != sequence.restarts:
            self._joins.put_off(round_)
            return ()
        if sequence.epoch is None:
            # The first snapshot is where this process begins to follow.
            early = sequence.begin(header)
            self._pacing.restart(header.seq)
            return [effect for message in early for effect in self.on_message(message, now_s)]
        if header.epoch == sequence.epoch:
            return ()
        effects = self._restart(header, now_s)
        round_.restarts = sequence.restarts
        return effects

    def answer_joins(self, round_: Round) -> Iterable[AnswerJoin]:
        """Answer a round's joiners, all before the next input; none if the room has restarted meanwhile."""
        if round_.restarts != self._sequence.restarts:
            self._joins.put_off(round_)
        if round_.reading is None or not round_.joiners:
            return
        header = round_.reading.header
        frames = self._joins.frames_after(header)
        fresh_seq = header.seq if header.seq > self._pacing.sent_seq else None
        for joiner in round_.joiners:
            if not joiner.has_left:
                gap, since_seq = None, joiner.since.seq
                if since_seq is not None and round_.missed[joiner.since] is None:
                    gap = self._gap(since_seq + 1, header.seq)
                yield AnswerJoin(joiner, gap, frames, fresh_seq)

    def end_rounds(self) -> None:
        """End the rounds."""
        self._joins.end()
