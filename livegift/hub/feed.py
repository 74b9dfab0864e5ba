"""One room as this process follows it, and one frame for all who look on.

A feed follows one room for this process: it numbers nothing and adds nothing up (the room in Redis does), it only
keeps the order, notices what is missing, paces, and writes the same frame to every viewer.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from livegift.contract import wire
from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.hub.audience import Audience
from livegift.hub.conflation import Conflation
from livegift.hub.frames import NOTHING_KNOWN, Frame, Known, Viewer
from livegift.hub.prepared_message import PreparedMessage
from livegift.resources.directory import Directory
from livegift.runtime.bounds import (
    JOIN_TIMEOUT_S,
    RECOVER_RETRY_S,
    ROOM_EARLY_MESSAGES_MAX,
    ROOM_PENDING_EVENTS_MAX,
    ROOM_TOP_S,
)
from livegift.store.rooms import Rooms, Snapshot

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Joiner:
    viewer: Viewer
    since: int | None
    since_epoch: int | None
    command_id: wire.CommandId | None
    has_left: bool = False
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RoomFeed:
    """One room as this process follows it."""

    def __init__(self, room: str, rooms: Rooms, directory: Directory, flush_s: float, conflation: Conflation) -> None:
        """`flush_s` is the least time between two frames."""
        self.room = room
        self._rooms = rooms
        self._directory = directory
        self._flush_s = flush_s
        self._conflation = conflation
        self._audience = Audience()
        self.viewer_count = 0
        self.idle_since: float | None = None
        self._epoch: int | None = None
        self.seq = 0
        self._early: list[bytes] = []
        self._pending: list[bytes] = []
        self._pending_first = 0
        self._totals = self._top = b""
        self._top_sent = b""
        self._top_at_s = 0.0
        self._sent_seq = 0
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._joiners: list[_Joiner] = []
        self._rejoining: set[Viewer] = set()
        self._recent: list[Frame] | None = None
        self._target = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = self._catching_up = False
        self._over: wire.SnapshotHeader | None = None  # everybody is about to get this new state

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"{name} {self.room}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Forget everything."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    @property
    def is_idle(self) -> bool:
        """Whether the room has no viewers, and none are joining."""
        return not self.present and not self._joiners and not self._serving

    @property
    def present(self) -> int:
        """How many look on, those who don't keep up included."""
        return self._audience.present + len(self._rejoining)

    # --- What the room's channel carries ------------------------------------------------------------------------------

    def on_message(self, data: bytes) -> None:
        """Take one published message: a header line, then an event a line."""
        if self._epoch is None:
            # The first snapshot is not there yet; it tells which of these are new.
            if len(self._early) < ROOM_EARLY_MESSAGES_MAX:
                self._early.append(data)
            return
        line, *events = data.split(b"\n")
        header = wire.ROOM_HEADER.decode(line)
        if header.epoch != self._epoch or header.first_seq > self.seq + 1:
            self.catch_up(header.seq)
        elif header.seq > self.seq:
            self._accept(events[self.seq + 1 - header.first_seq :], bytes(header.totals), bytes(header.top))

    def on_head(self, epoch: int, seq: int) -> None:
        """The room in Redis is at `seq`, and was so a while ago: whatever is missing was lost on the way."""
        if self._epoch is not None and (epoch != self._epoch or seq > self.seq):
            self.catch_up(seq)

    def catch_up(self, target: int) -> None:
        """Read from the room's log what did not arrive."""
        self._target = max(self._target, target)
        if not self._catching_up:
            self._catching_up = True
            self._start("catch up", self._catch_up())

    async def _catch_up(self) -> None:
        try:
            while self._epoch is not None:
                before = self.seq
                snapshot = await self._rooms.snapshot(self.room, before, str(self._epoch))
                header = wire.SNAPSHOT_HEADER.decode(snapshot.header)
                if header.epoch != self._epoch or not snapshot.complete:
                    self._start_over(header)
                    return
                first_seq = header.seq - len(snapshot.events) + 1
                events = snapshot.events[max(self.seq + 1 - first_seq, 0) :]
                self._accept(events, bytes(header.totals), bytes(header.top))
                if self.seq >= self._target or self.seq == before:
                    return
        except StoreUnavailableError as error:
            log.warning("room.catch_up_failed", room=self.room, error=str(error))  # the next poll tries again
        finally:
            self._catching_up = False
            self._target = 0

    def _start_over(self, header: wire.SnapshotHeader) -> None:
        """The log does not reach back, or the room has restarted: everybody gets the current state."""
        log.warning(
            "room.gap",
            room=self.room,
            from_epoch=self._epoch,
            from_seq=self.seq + 1,
            to_epoch=header.epoch,
            to_seq=header.seq,
        )
        self.flush()
        self._pending = []  # held back, and in the snapshot that is on its way
        if header.epoch == self._epoch:
            gap = PreparedMessage(wire.frame("room.gap", room=self.room, from_seq=self.seq + 1, to_seq=header.seq))
            self._audience.write(gap, NOTHING_KNOWN)
        self._epoch, self.seq, self._sent_seq = header.epoch, header.seq, header.seq
        self._audience.forget_snapshots()
        is_first, self._over = self._over is None, header
        if is_first:
            self._start("snapshot to all", self._snapshot_to_all())

    async def _snapshot_to_all(self) -> None:
        """Write the latest state to everybody; frames after it wait until it is out."""
        try:
            while (header := self._over) is not None:
                message = await self._snapshot_message(header, (), complete=False)
                if header is not self._over:
                    continue  # a newer one came meanwhile
                self._over = None
                # Who has joined with a newer one needs none.
                self._audience.write(message, NOTHING_KNOWN, skip=self._audience.ahead_of(header.seq))
        finally:
            self._over = None
        self.flush()

    def _accept(self, events: Sequence[bytes], totals: bytes, top: bytes) -> None:
        if not events:
            return
        if not self._pending:
            self._pending_first = self.seq + 1
        self._pending += events
        self.seq += len(events)
        self._totals, self._top = totals, top
        if any(b'"type":"room",' in event for event in events):
            self._directory.forget(self.room)
        self._schedule()

    # --- Pacing -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """The first event goes out at once; while more keep coming, one frame every `flush_s`."""
        loop = asyncio.get_running_loop()
        wait_s = self._flushed_at + self._flush_s - loop.time()
        if wait_s <= 0 or len(self._pending) >= ROOM_PENDING_EVENTS_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = loop.call_later(wait_s, self.flush)

    def flush(self) -> None:
        """Write what is pending to every viewer, as one frame."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending or self._epoch is None or self._over is not None:
            return
        now_s = asyncio.get_running_loop().time()
        top = self._unsent_top() if now_s >= self._top_at_s + ROOM_TOP_S else None
        if top is not None:
            self._top_sent, self._top_at_s = top, now_s
        shown = self._conflation.cap(self._pending, now_s)
        frame = Frame.build(self.room, self._epoch, self._pending_first, self._totals, top, self._pending, shown)
        self._pending = []
        self._sent_seq = frame.seq
        self._flushed_at = now_s
        if self._recent is not None:
            self._recent.append(frame)
        self._audience.show(frame)

    def _unsent_top(self) -> bytes | None:
        return None if self._top == self._top_sent else self._top

    def pulse(self, viewer_count: int) -> None:
        """Tell what has no place in the order of events, if it is news: how many look on, and ranks not told yet."""
        top = None if self._pending else self._unsent_top()  # else the next frame has it
        if viewer_count == self.viewer_count and top is None:
            return
        self.viewer_count = viewer_count
        self._top_sent = top or self._top_sent
        message = PreparedMessage(wire.room_pulse_frame(self.room, viewer_count, top))
        self._audience.tell(message)

    # --- Viewers who don't keep up ------------------------------------------------------------------------------------

    def recover(self, viewer: Viewer) -> None:
        """`viewer` keeps up again: it gets the state of the room and the events that it has missed."""
        known = self._audience.take_behind(viewer)
        if known is not None:
            self._rejoining.add(viewer)
            self._start("recover", self._rejoin(viewer, known))

    async def _rejoin(self, viewer: Viewer, known: Known) -> None:
        try:
            if viewer in self._rejoining:  # else it has left
                await self.join(viewer, known.seq, known.epoch, command_id=known.command_id)
        except StoreUnavailableError as error:
            log.warning("room.recover_failed", room=self.room, error=str(error))
            if viewer in self._rejoining:
                self._audience.fall_behind(viewer, known)
                asyncio.get_running_loop().call_later(RECOVER_RETRY_S, self.recover, viewer)
        finally:
            self._rejoining.discard(viewer)

    # --- Joining ------------------------------------------------------------------------------------------------------

    async def join(
        self,
        viewer: Viewer,
        since: int | None,
        since_epoch: int | None,
        *,
        wants_all: bool = False,
        command_id: wire.CommandId | None = None,
    ) -> None:
        """Write a snapshot to `viewer`, then every frame after it without a gap or a double.

        Who `wants_all` is shown every gift, however many there are. Raises StoreUnavailableError when the snapshot
        can't be had in time.
        """
        if wants_all:
            self._audience.show_all_to(viewer)
        joiner = _Joiner(viewer, since, since_epoch, command_id)
        self._joiners.append(joiner)
        if not self._serving:
            self._serving = True
            self._start("join", self._serve_joins())
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await asyncio.shield(joiner.done)
        except TimeoutError:
            raise StoreUnavailableError("the room's state can't be read in time", executed=False) from None
        finally:
            if joiner in self._joiners:
                self._joiners.remove(joiner)

    def leave(self, viewer: Viewer) -> None:
        """No more frames for `viewer`."""
        self._audience.leave(viewer)
        self._rejoining.discard(viewer)
        for joiner in self._joiners:
            joiner.has_left = joiner.has_left or joiner.viewer is viewer

    async def _serve_joins(self) -> None:
        """One read serves all who asked before it began; who asks meanwhile is served by the next."""
        try:
            while self._joiners:
                joiners, self._joiners = self._joiners, []
                self.flush()  # all frames so far are at or below the snapshot
                self._recent = []
                try:
                    await self._serve(joiners)
                except (StoreUnavailableError, RequestError) as error:
                    for joiner in joiners:
                        if not joiner.done.done():
                            joiner.done.set_exception(StoreUnavailableError(str(error), executed=False))
        finally:
            self._recent = None
            self._serving = False

    async def _serve(self, joiners: list[_Joiner]) -> None:
        wanted = [joiner.since for joiner in joiners if joiner.since is not None]
        snapshot = await self._rooms.snapshot(self.room, min(wanted) if wanted else None)
        header = wire.SNAPSHOT_HEADER.decode(snapshot.header)
        self._begin(header)
        # Those who return at once know the same, mostly: one message for each place where they have stopped.
        messages: dict[tuple[int | None, int | None], tuple[PreparedMessage, int | None]] = {}
        for joiner in joiners:
            place = (joiner.since, joiner.since_epoch)
            if place not in messages:
                messages[place] = await self._welcome(joiner, header, snapshot)
        for joiner in joiners:
            if not joiner.done.done():  # else it gave up
                self._admit(joiner, header, *messages[joiner.since, joiner.since_epoch])

    async def _welcome(
        self, joiner: _Joiner, header: wire.SnapshotHeader, snapshot: Snapshot
    ) -> tuple[PreparedMessage, int | None]:
        """The snapshot for whoever knows what `joiner` knows, and where the gap begins if there is one."""
        if joiner.since is None:
            return await self._snapshot_message(header, (), complete=True), None
        events = await self._missed(joiner, header, snapshot)
        message = await self._snapshot_message(header, events or (), complete=events is not None)
        return message, joiner.since + 1 if events is None else None

    def _begin(self, header: wire.SnapshotHeader) -> None:
        """The first snapshot tells where this process begins to follow."""
        if self._epoch is None:
            self._epoch, self.seq, self._sent_seq = header.epoch, header.seq, header.seq
            early, self._early = self._early, []
            for data in early:
                self.on_message(data)
        elif header.epoch != self._epoch:
            self._start_over(header)

    async def _missed(
        self, joiner: _Joiner, header: wire.SnapshotHeader, snapshot: Snapshot
    ) -> tuple[bytes, ...] | None:
        """The events after `since`, or None when not all of them can be had."""
        since = joiner.since or 0
        if since > header.seq or joiner.since_epoch not in (None, header.epoch):
            return None
        if not snapshot.complete:
            # Somebody in this round wanted more than the log has; that does not concern this one.
            snapshot = await self._rooms.snapshot(self.room, since, str(header.epoch))
            if not snapshot.complete:
                return None
        last_seq = wire.SNAPSHOT_HEADER.decode(snapshot.header).seq
        first_seq = last_seq - len(snapshot.events) + 1
        return snapshot.events[since + 1 - first_seq : header.seq + 1 - first_seq]

    def _admit(
        self, joiner: _Joiner, header: wire.SnapshotHeader, message: PreparedMessage, gap_from: int | None
    ) -> None:
        joiner.done.set_result(None)
        viewer = joiner.viewer
        if joiner.has_left:
            return
        if joiner.command_id is not None:  # an answer of its own; the others share theirs
            message = PreparedMessage(wire.answering(joiner.command_id, message.payload))
        if not viewer.write_shared(message):
            self._audience.fall_behind(viewer, Known(joiner.since_epoch, joiner.since, joiner.command_id))
            return
        if gap_from is not None:
            viewer.write(wire.frame("room.gap", room=self.room, from_seq=gap_from, to_seq=header.seq))
        for frame in self._recent or ():
            later = frame.after(header.seq) if frame.epoch == header.epoch else None
            if later is not None:
                viewer.write(self._audience.variant(later, viewer).payload)
        self._audience.admit(viewer, header.seq if header.seq > self._sent_seq else None)

    async def _snapshot_message(
        self, header: wire.SnapshotHeader, events: Sequence[bytes], *, complete: bool
    ) -> PreparedMessage:
        known: dict[str, object] = {"room": self.room}
        try:
            room = await self._directory.room(self.room)
        except RequestError:
            room = self._directory.last_known(self.room)  # the ledger is away; the numbers are right all the same
        if room is not None:
            creator = {"id": room.creator_id, "name": room.creator_name}
            known |= {"creator": creator, "status": room.status, "title": room.title}
        viewers = max(self.viewer_count, self.present)
        return PreparedMessage(wire.room_snapshot_frame(known, header, viewers, events, complete=complete))
