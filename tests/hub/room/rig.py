"""Performs what a room's machine wants to have done, step by step, in whatever order and with whatever loss."""

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress

from livegift.contract.channels import SnapshotHeader, room_snapshot
from livegift.contract.event_kinds import CORE_EVENTS, EventKinds
from livegift.hub.audience import Audience, Fallen
from livegift.hub.conflation import Conflation
from livegift.hub.frames import Frame
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.effects import (
    Effect,
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
from livegift.hub.room.joins import Joiner, Place, Round
from livegift.hub.room.machine import RoomMachine
from livegift.hub.room.recovery import Rejoin
from livegift.hub.room.sequence import LogReading
from tests.hub.room.model import ModelViewer, RoomModel

Task = Generator[str, None, None]
FLUSH_S = 0.04


class LostReplyError(Exception):
    """Thrown into a task that waits for a reply."""


class Rig:
    """One room's machine, its viewers, and the room. A task goes on only when it is told to."""

    def __init__(self) -> None:
        self.room = RoomModel()
        self.machine = RoomMachine("r1", FLUSH_S, Conflation(0, 0, EventKinds(CORE_EVENTS)))
        self.audience = Audience()
        self.now_s = 1_000.0
        self.wakes_at_s: float | None = None
        self.tasks: list[Task] = []
        self.retries: list[Rejoin] = []
        self.frames: list[tuple[float, Frame]] = []
        self.waiting: dict[Joiner, Callable[[bool], None]] = {}  # who is not answered yet -> to be called then
        self.joins = self.reads = self.longest_reading = 0

    # --- What comes ---------------------------------------------------------------------------------------------------

    def deliver(self, message: bytes) -> None:
        self.perform(self.machine.on_message(message, self.now_s))

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        if self.wakes_at_s is not None and self.now_s >= self.wakes_at_s:
            self.wakes_at_s = None
            self.perform(self.machine.wake(self.now_s))

    def join(self, viewer: ModelViewer) -> Joiner:
        """As a connection does."""
        self.leave(viewer)
        viewer.has_left = False
        self.joins += 1
        joiner = Joiner(viewer, Place(viewer.seq, viewer.epoch), f"join {self.joins}")

        def answered(ok: bool) -> None:  # noqa: FBT001
            if not ok:
                self.leave(viewer)

        self._wait(joiner, answered)
        return joiner

    def leave(self, viewer: ModelViewer) -> None:
        self.audience.leave(viewer)
        self.machine.leave(viewer)
        viewer.has_left = True

    def set_full(self, viewer: ModelViewer, *, is_full: bool) -> None:
        viewer.is_full = is_full
        if not is_full and not viewer.has_left:
            self.perform(self.machine.drained(viewer))

    def give_up(self, joiner: Joiner) -> None:
        """It has waited too long."""
        self._settle(joiner, ok=False)

    def _wait(self, joiner: Joiner, answered: Callable[[bool], None]) -> None:
        self.waiting[joiner] = answered
        self.perform(self.machine.join(joiner))

    def _settle(self, joiner: Joiner, *, ok: bool) -> None:
        answered = self.waiting.pop(joiner, None)
        if answered is not None:

            def go_on() -> Task:
                with suppress(LostReplyError):
                    yield "answered"
                self.machine.withdraw(joiner)
                answered(ok)

            self.start(go_on())

    # --- What is done -------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Frame():
                    self.wakes_at_s = None
                    self.frames.append((self.now_s, effect))
                    self.note(self.audience.show(effect))
                case Wake(after_s):
                    assert self.wakes_at_s is None, "one timer is enough"
                    self.wakes_at_s = self.now_s + after_s
                case Pulse(message):
                    self.audience.write_latest(message)
                case TellGap():
                    self.note(self.audience.show_gap(effect))
                case MakeSnapshot(header):
                    self.start(self.make_snapshot(header))
                case ShowSnapshot():
                    self.note(self.audience.show_snapshot(effect))
                case ReadLog():
                    self.start(self.read_log(effect))
                case ServeJoins():
                    self.start(self.serve_joins())
                case Recover(rejoin):
                    self.start(self.rejoin(rejoin))
                case RecoverLater(rejoin):
                    self.retries.append(rejoin)

    def note(self, fallen: Fallen) -> None:
        for viewer, known in fallen:
            self.machine.fall_behind(viewer, known)

    def start(self, task: Task) -> None:
        self.tasks.append(task)
        self.step(task)

    def step(self, task: Task, *, fails: bool = False) -> None:
        """Let a task go on to where it waits the next time."""
        try:
            if fails:
                task.throw(LostReplyError)
            else:
                next(task)
        except StopIteration:
            self.tasks.remove(task)

    def settle_down(self) -> None:
        """Let all tasks end, and time pass."""
        for _ in range(1_000):
            if not self.tasks and self.wakes_at_s is None:
                return
            for task in list(self.tasks):
                self.step(task)
            self.pass_time(FLUSH_S)
        raise AssertionError("it never comes to rest")

    # --- Tasks --------------------------------------------------------------------------------------------------------

    def read(self, since: int | None, epoch: int | None = None) -> Generator[str, None, LogReading]:
        yield "the question is on its way"
        self.reads += 1
        reading = self.room.read(since, epoch)
        self.longest_reading = max(self.longest_reading, len(reading.events))
        yield "the answer is on its way"
        return reading

    def read_log(self, asked: ReadLog) -> Task:
        try:
            reading = yield from self.read(asked.since, asked.epoch)
        except LostReplyError:
            self.machine.on_log_failed()
        else:
            self.perform(self.machine.on_log(asked, reading, self.now_s))

    def snapshot_message(
        self, header: SnapshotHeader, events: Iterable[bytes], *, complete: bool
    ) -> Generator[str, None, PreparedMessage]:
        yield "the directory is asked"
        return PreparedMessage(room_snapshot("r1", header, 0, events, complete=complete))

    def make_snapshot(self, header: SnapshotHeader) -> Task:
        while True:
            try:
                message = yield from self.snapshot_message(header, (), complete=False)
            except LostReplyError:
                continue  # the directory has always something to say
            break
        self.perform(self.machine.on_snapshot_made(header, message, self.now_s))

    def rejoin(self, rejoin: Rejoin) -> Task:
        with suppress(LostReplyError):
            yield "a task begins"
        if not self.machine.is_current(rejoin):
            return

        def answered(ok: bool) -> None:  # noqa: FBT001
            if not ok:
                self.perform(self.machine.rejoin_failed(rejoin))
            self.machine.rejoined(rejoin)

        known = rejoin.known
        self._wait(Joiner(rejoin.viewer, Place(known.seq, known.epoch), known.command_id), answered)

    def serve_joins(self) -> Task:
        with suppress(LostReplyError):
            yield "a task begins"
        while True:
            round_, effects = self.machine.begin_round(self.now_s)
            self.perform(effects)
            if round_ is None:
                break
            ok = True
            try:
                yield from self.serve(round_)
            except LostReplyError:
                ok = False
            for joiner in round_.joiners:
                self._settle(joiner, ok=ok)
        self.machine.end_rounds()

    def serve(self, round_: Round) -> Task:
        reading = yield from self.read(round_.since)
        self.perform(self.machine.on_round_read(round_, reading, self.now_s))
        messages = {}
        for place in round_.places:
            own = None
            if round_.needs_own_reading(place):
                own = yield from self.read(place.seq, reading.header.epoch)
            events = round_.find(place, own)
            messages[place] = yield from self.snapshot_message(
                reading.header, events or (), complete=events is not None
            )
        for join in self.machine.answer_joins(round_):
            if join.joiner in self.waiting:
                self.note(self.audience.answer_join(join, messages[join.joiner.since]))
