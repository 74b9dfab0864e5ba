"""Long-lived clients: one connection each, re-established whenever it breaks, with many gifts in flight."""

import asyncio
import time
from collections import defaultdict
from itertools import count
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from livegift.contract.bounds import ROOMS_PER_CONNECTION_MAX
from tests.faults.model import UNKNOWN, Answer, Event, Model, Payload

OPEN_TIMEOUT_S = 5.0
RETRY_S = 0.1
JOIN_RETRY_S = 0.5
CONNECT_PATIENCE_S = 3.0
ANSWER_TIMEOUT_S = 15.0
BROKEN = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, TimeoutError, EOFError)


def now_ms() -> int:
    return int(time.time() * 1000)


def answer_of(frame: dict[str, Any], model: Model) -> Answer:
    """Return the answer in a `gift.result` or an `error`."""
    if frame["type"] == "error":
        return UNKNOWN if frame.get("outcome") == "unknown" else Answer("rejected", code=frame["code"])
    if frame["status"] == "rejected":
        return Answer("rejected", code=frame["code"])
    return Answer(frame["status"], model.event_of(frame["gift_event_id"]), frame["coins"])


class UserConnection:
    """A connection of one user to one web process, for as long as the test lasts."""

    def __init__(self, address: str, token: str) -> None:
        self._url = f"ws://{address}/v1/ws"
        self._token = token
        self._socket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self.connections = 0
        self._task = asyncio.create_task(self._run(), name=f"line {address}")

    @property
    def failure(self) -> BaseException | None:
        """Return the exception that has ended the line, which should go on whatever the server does."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol("livegift.v1")],
                    compression=None,
                    max_size=None,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=1,
                    ping_interval=2,
                    ping_timeout=4,
                ) as socket:
                    await self._talk(socket)
            except BROKEN:
                pass
            finally:
                self._socket = None
                self._connected.clear()
                self.on_broken()
            await asyncio.sleep(RETRY_S)

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(orjson.dumps({"type": "hello", "token": self._token}).decode())
        async for message in socket:
            frame = orjson.loads(message)
            if frame["type"] == "welcome":
                self._socket = socket
                self.connections += 1
                self._connected.set()
                await self.on_connected()
            else:
                self.on_frame(frame)

    async def connected(self, patience_s: float) -> bool:
        """Wait for a connection. Returns whether there is one within `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    async def send(self, **command: object) -> bool:
        """Send a command. Returns whether it was written; it may be lost all the same."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(orjson.dumps(command).decode())
        except BROKEN:
            return False
        return True

    async def on_connected(self) -> None:
        """Handle a welcome."""

    def on_frame(self, frame: dict[str, Any]) -> None:
        """Handle any other frame."""

    def on_broken(self) -> None:
        """Handle the loss of the connection."""


class Sender(UserConnection):
    """Sends gifts of one user. A ref may be in flight many times at once: each send has an `id` of its own."""

    def __init__(self, address: str, user: str, token: str, model: Model) -> None:
        self.user = user
        self._model = model
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._ids = count()
        self.late = 0
        super().__init__(address, token)

    def on_frame(self, frame: dict[str, Any]) -> None:
        waiting = self._waiting.pop(frame.get("id", -1), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer_of(frame, self._model))

    def on_broken(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def gift(self, ref: str, payload: Payload, copies: int = 1) -> list[Answer]:
        """Send a gift (several times in one pipeline) and return its answers; none when not connected."""
        if not await self.connected(CONNECT_PATIENCE_S):
            return []
        sent_ms = now_ms()
        attempts = [self._model.begin(self.user, ref, payload, sent_ms) for _ in range(copies)]
        waiting = {next(self._ids): asyncio.get_running_loop().create_future() for _ in range(copies)}
        self._waiting |= waiting
        command = {"ref": ref, "room": payload.room, "gift_id": payload.gift_id, "count": payload.count}
        for command_id, answer in waiting.items():
            if not await self.send(type="gift.send", **command, id=command_id) and not answer.done():
                answer.set_result(None)
        _, late = await asyncio.wait(waiting.values(), timeout=ANSWER_TIMEOUT_S)
        self.late += len(late)
        answers = [future.result() if future.done() else None for future in waiting.values()]
        for command_id in waiting:
            self._waiting.pop(command_id, None)
        for attempt, told in zip(attempts, answers, strict=True):
            self._model.answered(attempt, told or UNKNOWN, self.user)
        return [answer or UNKNOWN for answer in answers]


class RoomView:
    """A viewer's view of a room."""

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.seq = 0
        self.seen: dict[Event, int] = {}  # gifts of this epoch
        self.revoked: set[Event] = set()
        self.totals: dict[str, int] = {}


class Watcher(UserConnection):
    """Watches rooms and records every error in their numbering."""

    def __init__(self, address: str, token: str, model: Model) -> None:
        self._model = model
        self.rooms: dict[str, RoomView] = {}
        self.problems: list[str] = []
        self.explained = 0  # gaps and new beginnings that the server has announced
        self.events = 0
        self.stepped_back = 0  # a Redis that is older than the one before has older rooms, until they change
        self._joining: set[asyncio.Task[None]] = set()
        # What each join in progress said it has, (since_epoch, since), if anything.
        self._waiting_for: defaultdict[str, list[tuple[int, int] | None]] = defaultdict(list)
        super().__init__(address, token)

    async def join(self, room: str, *, with_since: bool) -> None:
        while room not in self.rooms and len(self.rooms) >= ROOMS_PER_CONNECTION_MAX:
            oldest = next(iter(self.rooms))
            del self.rooms[oldest]
            await self.send(type="room.leave", room=oldest)
        view = self.rooms.setdefault(room, RoomView())
        since: dict[str, int] = {}
        said = None
        if with_since and view.epoch is not None:
            since = {"since": view.seq, "since_epoch": view.epoch}
            said = (view.epoch, view.seq)
        self._waiting_for[room].append(said)
        await self.send(type="room.join", room=room, **since)

    async def on_connected(self) -> None:
        for index, room in enumerate(list(self.rooms)):
            await self.join(room, with_since=index % 2 == 0)

    def on_broken(self) -> None:
        self._waiting_for.clear()

    def on_frame(self, frame: dict[str, Any]) -> None:
        room = frame.get("room")
        view = self.rooms.get(room) if room else None
        if room is None or view is None:
            return
        if frame["type"] == "room.snapshot":
            self._on_snapshot(view, frame, self._waiting_for[room])
        elif frame["type"] == "room.events":
            self._on_events(view, frame)
        elif frame["type"] == "room.gap":
            self.explained += 1
        elif frame["type"] == "error":
            task = asyncio.create_task(self._join_later(room, frame.get("retry_after_ms", 0) / 1000))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    async def _join_later(self, room: str, retry_after_s: float) -> None:
        """Try a failed join again, as any client does."""
        await asyncio.sleep(max(JOIN_RETRY_S, retry_after_s))
        if room in self.rooms:
            await self.join(room, with_since=False)

    def _on_snapshot(self, view: RoomView, frame: dict[str, Any], said: list[tuple[int, int] | None]) -> None:
        seqs = [event["seq"] for event in frame["events"]]
        if frame["complete"]:
            # Frames in flight when this viewer joined again may have brought some of them already.
            fitting = [
                index
                for index, known in enumerate(said)
                if (known is None and not seqs)
                or (known and known[0] == frame["epoch"] and seqs == list(range(known[1] + 1, frame["seq"] + 1)))
            ]
            if fitting:
                del said[: fitting[0] + 1]
            else:
                self._wrong(view, frame, f"events {seqs} after joins with (epoch, since) {said}")
            self._keep(view, frame["events"])
        if not frame["complete"] or not seqs:
            self.explained += view.epoch is not None
        if frame["epoch"] != view.epoch:
            self.stepped_back += view.epoch is not None and frame["epoch"] < view.epoch
            view.seen, view.revoked = {}, set()
        elif frame["seq"] < view.seq:
            self._wrong(view, frame, "the same epoch has stepped back")
        if frame.get("status") not in ("live", "ended") or not frame.get("creator"):
            self._wrong(view, frame, "it does not tell whose room it is and how it stands")
        view.epoch, view.seq, view.totals = frame["epoch"], frame["seq"], frame["totals"]

    def _on_events(self, view: RoomView, frame: dict[str, Any]) -> None:
        seqs = [event["seq"] for event in frame["events"]]
        if frame["epoch"] != view.epoch or frame["first_seq"] != view.seq + 1:
            self._wrong(view, frame, "the frame does not follow")
        if seqs != list(range(frame["first_seq"], frame["seq"] + 1)):
            self._wrong(view, frame, f"it has the events {seqs}")
        view.epoch, view.seq, view.totals = frame["epoch"], frame["seq"], frame["totals"]
        self._keep(view, frame["events"])

    def _wrong(self, view: RoomView, frame: dict[str, Any], what: str) -> None:
        said = {key: frame.get(key) for key in ("type", "room", "epoch", "first_seq", "seq", "complete")}
        self.problems.append(f"a viewer at epoch {view.epoch}, seq {view.seq} got {said}: {what}")

    def _keep(self, view: RoomView, events: list[dict[str, Any]]) -> None:
        for event in events:
            self.events += 1
            if event["type"] == "gift" and event["count"]:
                gift = self._model.event_of(event["id"])
                if view.seen.get(gift, event["seq"]) != event["seq"]:
                    self.problems.append(f"gift {gift} came as {view.seen[gift]} and {event['seq']}")
                view.seen[gift] = event["seq"]
            elif event["type"] == "gift.revoked":
                view.revoked.add(self._model.event_of(event["gift_event_id"]))
