"""One room as this process follows it, and one frame for all its viewers.

What to do is decided in `livegift.hub.room`; here it is done: the log is read, timers run, viewers are written to.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, assert_never

import structlog
from msgspec import UNSET

from livegift.contract.channels import SnapshotHeader, parse_snapshot, room_snapshot
from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.contract.messages import Creator
from livegift.contract.values import CommandId
from livegift.hub.audience import Audience, Fallen
from livegift.hub.conflation import Conflation
from livegift.hub.frames import Frame, Viewer
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.effects import (
    Effect,
    ForgetDetails,
    MakeSnapshot,
    Pulse,
    RareEffect,
    ReadLog,
    Recover,
    RecoverLater,
    ServeJoins,
    ShowSnapshot,
    TellGap,
    Wake,
)
from livegift.hub.room.joins import Joiner, Place, Round
from livegift.hub.room.machine import RoomMachine
from livegift.hub.room.recovery import Rejoin
from livegift.hub.room.sequence import LogReading
from livegift.resources.directory import Directory
from livegift.runtime.bounds import JOIN_TIMEOUT_S, RECOVER_RETRY_S
from livegift.store.rooms import Rooms

log = structlog.get_logger()


class _Answer(NamedTuple):
    """What somebody who joins waits for."""

    future: "asyncio.Future[None]"
    deadline: float


class RoomFeed:
    """A room as this process follows it."""

    def __init__(
        self,
        room: str,
        rooms: Rooms,
        directory: Directory,
        flush_s: float,
        conflation: Conflation,
        parts: tuple[str, ...],
    ) -> None:
        """Follow `room`. Call it in the event loop that it works in.

        `flush_s` is the least time between two frames, `parts` are the features' parts of snapshots.
        """
        self.room = room
        self._rooms = rooms
        self._directory = directory
        self._parts = parts
        self._machine = RoomMachine(room, flush_s, conflation)
        self._audience = Audience()
        self.idle_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._answers: dict[Joiner, _Answer] = {}
        self._overdue: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"{name} {self.room}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop everything."""
        self._cancel_timer()
        if self._overdue is not None:
            self._overdue.cancel()
        for task in self._tasks:
            task.cancel()

    @property
    def is_idle(self) -> bool:
        """Return whether the room has no viewers, and none are joining."""
        return not self.present and not self._machine.is_joining

    @property
    def present(self) -> int:
        """Return how many viewers there are, including those who don't keep up."""
        return len(self._audience) + self._machine.lagging

    @property
    def seq(self) -> int:
        """Return the number of the last event received."""
        return self._machine.seq

    # --- What comes ---------------------------------------------------------------------------------------------------

    def on_message(self, data: bytes) -> None:
        """Handle a published message: a header line, then an event a line."""
        effects = self._machine.on_message(data, self._loop.time())
        if effects:
            self._perform(effects)

    def on_head(self, epoch: int, seq: int) -> None:
        """Compare with a head of the room in Redis from a while ago: whatever is missing was lost."""
        self._perform(self._machine.on_head(epoch, seq))

    def catch_up(self, target: int) -> None:
        """Read events that did not arrive from the room's log."""
        self._perform(self._machine.catch_up(target))

    def pulse(self, viewer_count: int) -> None:
        """Tell the viewer count and pending ranks, if they are new: these have no place in the order of events."""
        self._perform(self._machine.pulse(viewer_count))

    def recover(self, viewer: Viewer) -> None:
        """Bring a viewer that keeps up again up to date: it gets the room's state and the events that it has missed."""
        self._perform(self._machine.drained(viewer))

    def leave(self, viewer: Viewer) -> None:
        """Stop writing frames to `viewer`."""
        self._audience.leave(viewer)
        self._machine.leave(viewer)

    # --- What is done -------------------------------------------------------------------------------------------------

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Frame):
                self._cancel_timer()
                self._note(self._audience.show(effect))
            else:
                self._perform_rare(effect)

    def _perform_rare(self, effect: RareEffect) -> None:
        match effect:
            case Wake(after_s):
                self._timer = self._loop.call_later(after_s, self._wake)
            case ForgetDetails():
                self._directory.forget(self.room)
            case Pulse(message):
                self._audience.write_latest(message)
            case TellGap():
                self._tell_gap(effect)
            case MakeSnapshot(header):
                self._start("snapshot to all", self._make_snapshot(header))
            case ShowSnapshot():
                self._note(self._audience.show_snapshot(effect))
            case ReadLog():
                self._start("catch up", self._read_log(effect))
            case ServeJoins():
                self._start("join", self._serve_joins())
            case Recover(rejoin):
                self._start("recover", self._rejoin(rejoin))
            case RecoverLater(rejoin):
                self._loop.call_later(RECOVER_RETRY_S, self.recover, rejoin.viewer)
            case _:
                assert_never(effect)

    def _note(self, fallen: Fallen) -> None:
        for viewer, known in fallen:
            self._machine.fall_behind(viewer, known)

    def _wake(self) -> None:
        self._timer = None
        self._perform(self._machine.wake(self._loop.time()))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- Loss ---------------------------------------------------------------------------------------------------------

    async def _read(self, since: int | None, epoch: str = "") -> LogReading:
        snapshot = await self._rooms.snapshot(self.room, since, epoch)
        return LogReading(parse_snapshot(snapshot.header), snapshot.complete, snapshot.events)

    async def _read_log(self, asked: ReadLog) -> None:
        reading = None
        try:
            reading = await self._read(asked.since, str(asked.epoch))
        except StoreUnavailableError as error:
            log.warning("room.catch_up_failed", room=self.room, error=str(error))
        finally:
            if reading is None:
                self._machine.on_log_failed()
        if reading is not None:
            self._perform(self._machine.on_log(asked, reading, self._loop.time()))

    def _tell_gap(self, gap: TellGap) -> None:
        log.warning(
            "room.gap",
            room=self.room,
            from_epoch=gap.from_epoch,
            from_seq=gap.from_seq,
            to_epoch=gap.to_epoch,
            to_seq=gap.to_seq,
        )
        self._note(self._audience.show_gap(gap))

    async def _make_snapshot(self, header: SnapshotHeader) -> None:
        message = None
        try:
            message = await self._snapshot_message(header, (), complete=False)
        finally:
            if message is None:
                self._machine.on_snapshot_failed()
        self._perform(self._machine.on_snapshot_made(header, message, self._loop.time()))

    async def _snapshot_message(
        self, header: SnapshotHeader, events: Sequence[bytes], *, complete: bool
    ) -> PreparedMessage:
        try:
            room = await self._directory.room(self.room)
        except RequestError:
            room = self._directory.last_known(self.room)  # the ledger is away, but the numbers are right
        snapshot = room_snapshot(
            self.room,
            header,
            max(self._machine.viewer_count, self.present),
            events,
            complete=complete,
            parts=self._parts,
            creator=UNSET if room is None else Creator(room.creator_id, room.creator_name),
            status=UNSET if room is None else room.status,
            title=UNSET if room is None else room.title,
        )
        return PreparedMessage(snapshot)

    async def _rejoin(self, rejoin: Rejoin) -> None:
        known = rejoin.known
        try:
            if self._machine.is_current(rejoin):
                await self._answer(Joiner(rejoin.viewer, Place(known.seq, known.epoch), known.command_id))
        except StoreUnavailableError as error:
            log.warning("room.recover_failed", room=self.room, error=str(error))
            self._perform(self._machine.rejoin_failed(rejoin))
        finally:
            self._machine.rejoined(rejoin)

    # --- Joining ------------------------------------------------------------------------------------------------------

    async def join(
        self,
        viewer: Viewer,
        since: int | None,
        since_epoch: int | None,
        *,
        wants_all: bool = False,
        command_id: CommandId | None = None,
    ) -> None:
        """Write a snapshot to `viewer`, then every frame after it without a gap or a duplicate.

        With `wants_all`, the viewer is shown every gift, however many there are. Raises StoreUnavailableError when the
        snapshot can't be read in time.
        """
        if wants_all:
            self._audience.show_all_to(viewer)
        await self._answer(Joiner(viewer, Place(since, since_epoch), command_id))

    async def _answer(self, joiner: Joiner) -> None:
        answer = self._loop.create_future()
        self._answers[joiner] = _Answer(answer, self._loop.time() + JOIN_TIMEOUT_S)
        if self._overdue is None:
            self._overdue = self._loop.call_later(JOIN_TIMEOUT_S, self._give_up_overdue)
        self._perform(self._machine.join(joiner))
        try:
            await answer
        finally:
            del self._answers[joiner]
            self._machine.withdraw(joiner)

    def _give_up_overdue(self) -> None:
        """Give up the joins that have waited too long; one timer serves all, for they end in the order they began."""
        self._overdue = None
        now = self._loop.time()
        for joiner, answer in self._answers.items():
            if answer.deadline > now:
                self._overdue = self._loop.call_at(answer.deadline, self._give_up_overdue)
                return
            self._settle(joiner, StoreUnavailableError("the room's state can't be read in time", executed=False))

    async def _serve_joins(self) -> None:
        try:
            while True:
                round_, effects = self._machine.begin_round(self._loop.time())
                self._perform(effects)
                if round_ is None:
                    return
                error = None
                try:
                    await self._serve(round_)
                except (StoreUnavailableError, RequestError) as caught:
                    error = StoreUnavailableError(str(caught), executed=False)
                for joiner in round_.joiners:
                    self._settle(joiner, error)
        finally:
            self._machine.end_rounds()

    def _settle(self, joiner: Joiner, error: StoreUnavailableError | None) -> None:
        answer = self._answers.get(joiner)
        if answer is None or answer.future.done():
            return  # it gave up
        if error is None:
            answer.future.set_result(None)
        else:
            answer.future.set_exception(error)

    async def _serve(self, round_: Round) -> None:
        reading = await self._read(round_.since)
        self._perform(self._machine.on_round_read(round_, reading, self._loop.time()))
        header = reading.header
        messages: dict[Place, PreparedMessage] = {}
        for place in round_.places:
            own = await self._read(place.seq, str(header.epoch)) if round_.needs_own_reading(place) else None
            events = round_.find(place, own)
            messages[place] = await self._snapshot_message(header, events or (), complete=events is not None)
        for join in self._machine.answer_joins(round_):
            answer = self._answers.get(join.joiner)
            if answer is not None and not answer.future.done():  # else it gave up just now
                self._note(self._audience.answer_join(join, messages[join.joiner.since]))
