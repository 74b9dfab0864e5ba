"""Viewers over the WebSocket for locust: each says hello, joins a room, sends gifts at a steady rate and watches.

Requests it reports:

- `gift.send`: from the moment at which the gift was *meant* to be sent to its `gift.result`. A server that stalls makes
  later gifts late, and that counts (otherwise it would be measured least exactly when it is slowest).
- `gift.seen`: from the event's `ts_ms`, the moment of the debit, to its arrival at another viewer. Both clocks must
  agree; on one machine they do. `ts_ms` is whole milliseconds, so it reads up to 1 ms too long.
- `frame` and `connection`: only their failures, which are frames out of order, events that came twice, and closed
  connections. A clean run has none of them.

Users are `load-0` to `load-<users - 1>`, rooms `load-room-0` to `load-room-<rooms - 1>`; both must exist, with coins:
`python -m loadtests.run` sees to it. The secret that signs their tokens comes from LIVEGIFT_JWT_SECRET.
"""

import itertools
import os
import random
import time
from argparse import ArgumentParser
from collections import OrderedDict
from secrets import token_hex
from typing import Any

import gevent
import orjson
import websocket
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from livegift.runtime.identity import Tokens
from loadtests.harness.naming import room_name, user_name

CONNECT_TIMEOUT_S = 15.0
TOKEN_TTL_S = 24 * 3600
IN_FLIGHT_MAX = 200
DRAIN_TIMEOUT_S = 5.0
EVENT_IDS_MAX = 20_000  # how many a viewer remembers to notice one that comes twice

_numbers = itertools.count()
_random = random.Random()  # noqa: S311 - spreads load


@events.init_command_line_parser.add_listener
def _(parser: ArgumentParser) -> None:
    parser.add_argument("--room-count", type=int, default=5, help="rooms, load-room-0 and up; users spread over them")
    parser.add_argument("--gifts-per-s", type=float, default=2.0, help="gifts per second of each user")
    parser.add_argument("--gift-id", default="rose", help="which gift is sent")


class ViolationError(Exception):
    """The server said something that the protocol does not allow, or nothing where it must answer."""


class Numbering:
    """What a viewer knows of a room's order."""

    def __init__(self) -> None:
        """Before the snapshot nothing is known."""
        self.seq: int | None = None
        self._ids: OrderedDict[str, None] = OrderedDict()

    def begin(self, seq: int) -> None:
        """A snapshot: everything up to `seq` is over."""
        self.seq = seq

    def problems(self, first_seq: int, seq: int, frame_events: list[dict[str, Any]]) -> list[str]:
        """What is wrong with the next frame, in words that are the same for all of a kind: locust counts by them."""
        found = []
        if self.seq is None:
            found.append("frame before the snapshot")
        elif first_seq > self.seq + 1:
            found.append("gap: first_seq is above the previous seq + 1")
        elif first_seq <= self.seq:
            found.append("overlap: first_seq is not above the previous seq")
        for event in frame_events:
            if event["id"] in self._ids:
                found.append("event came twice")
            self._ids[event["id"]] = None
        while len(self._ids) > EVENT_IDS_MAX:
            self._ids.popitem(last=False)
        self.seq = seq
        return found


class Viewer(User):
    """One viewer with one connection, one greenlet that sends (locust's own) and one that reads."""

    def __init__(self, environment: Environment) -> None:
        """The number decides name and room."""
        super().__init__(environment)
        options = environment.parsed_options
        assert options is not None  # noqa: S101 - locust has parsed them before it makes users
        number = _number(environment)
        self.name = user_name(number)
        self.room = room_name(number % options.room_count)
        self._gift_id = options.gift_id
        self._interval_s = 1 / options.gifts_per_s
        self._address = (environment.host or "").rstrip("/").replace("http", "ws", 1) + "/v1/ws"
        self._token = Tokens(os.environ.get("LIVEGIFT_JWT_SECRET", "")).sign(
            self.name, ttl_s=TOKEN_TTL_S, age_verified=True
        )
        self._meant_at: dict[str, float] = {}
        self._next_at = 0.0
        self._numbering = Numbering()
        self._stopping = False
        self._socket: websocket.WebSocket | None = None
        self._reader: gevent.Greenlet | None = None

    # --- locust's side ------------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Connect, say hello, join. A user who can't is a failure and sends nothing."""
        started = time.perf_counter()
        try:
            self._socket = websocket.create_connection(
                self._address, timeout=CONNECT_TIMEOUT_S, subprotocols=["livegift.v1"], enable_multithread=True
            )
            self._command(type="hello", token=self._token)
            self._expect("welcome")
            self._command(type="room.join", room=self.room)
            self._numbering.begin(self._expect("room.snapshot")["seq"])
            self._socket.settimeout(None)
        except (OSError, websocket.WebSocketException, ViolationError) as error:
            self._fire("connection", started, error)
            raise StopUser from error
        self._reader = gevent.spawn(self._read)
        # Users do not send in step.
        self._next_at = time.perf_counter() + _random.uniform(0, self._interval_s)

    @task
    def send_gift(self) -> None:
        """One gift, at its time. The next one does not wait for the result of this."""
        gevent.sleep(max(self._next_at - time.perf_counter(), 0))
        meant_at, self._next_at = self._next_at, self._next_at + self._interval_s
        if len(self._meant_at) >= IN_FLIGHT_MAX:
            self._fire("gift.send", meant_at, ViolationError(f"not sent: {IN_FLIGHT_MAX} gifts without an answer"))
            return
        ref = token_hex(12)
        self._meant_at[ref] = meant_at
        try:
            self._command(type="gift.send", ref=ref, room=self.room, gift_id=self._gift_id)
        except (OSError, websocket.WebSocketException) as error:
            del self._meant_at[ref]
            self._fire("gift.send", meant_at, error)
            raise StopUser from error

    def on_stop(self) -> None:
        """Wait a moment for the results that are still missing; those that do not come are failures."""
        deadline = time.perf_counter() + DRAIN_TIMEOUT_S
        while self._meant_at and time.perf_counter() < deadline and self._reader and not self._reader.dead:
            gevent.sleep(0.02)
        for meant_at in self._meant_at.values():
            self._fire("gift.send", meant_at, ViolationError("no result"))
        self._meant_at.clear()
        self._stopping = True
        if self._socket is not None:
            self._socket.close(timeout=1)
        if self._reader is not None:
            self._reader.kill()

    # --- The connection -----------------------------------------------------------------------------------------------

    def _command(self, **fields: object) -> None:
        assert self._socket is not None  # noqa: S101 - on_start made it
        self._socket.send(orjson.dumps(fields).decode())

    def _receive(self) -> dict[str, Any]:
        assert self._socket is not None  # noqa: S101 - on_start made it
        data = self._socket.recv()
        if not data:
            raise websocket.WebSocketConnectionClosedException("closed by the server")
        frame: dict[str, Any] = orjson.loads(data)
        return frame

    def _expect(self, kind: str) -> dict[str, Any]:
        while (frame := self._receive())["type"] != kind:
            if frame["type"] == "error":
                raise ViolationError(f"expected {kind}, got error {frame['code']}")
        return frame

    def _read(self) -> None:
        handlers = {"gift.result": self._on_result, "room.events": self._on_events, "error": self._on_error}
        while True:
            try:
                frame = self._receive()
            except (OSError, websocket.WebSocketException) as error:
                if not self._stopping:
                    self._fire("connection", time.perf_counter(), error)
                return
            handler = handlers.get(frame["type"])
            if handler is not None:
                handler(frame)
            elif frame["type"] == "room.gap":
                self._fire("frame", time.perf_counter(), ViolationError("room.gap"))
            elif frame["type"] == "room.snapshot":
                self._numbering.begin(frame["seq"])

    def _on_result(self, frame: dict[str, Any]) -> None:
        meant_at = self._meant_at.pop(frame["ref"], None)
        if meant_at is None:
            self._fire("gift.send", time.perf_counter(), ViolationError("result for a ref that waits for none"))
        elif frame["status"] == "accepted":
            self._fire("gift.send", meant_at)
        else:
            # Refs are fresh: `duplicate` would be as wrong as a refusal.
            self._fire("gift.send", meant_at, ViolationError(f"{frame['status']} {frame.get('code', '')}".strip()))

    def _on_error(self, frame: dict[str, Any]) -> None:
        meant_at = self._meant_at.pop(frame.get("ref", ""), None)
        name = "connection" if meant_at is None else "gift.send"
        self._fire(name, meant_at or time.perf_counter(), ViolationError(f"error {frame['code']}"))

    def _on_events(self, frame: dict[str, Any]) -> None:
        now_ms = time.time() * 1000
        for problem in self._numbering.problems(frame["first_seq"], frame["seq"], frame["events"]):
            self._fire("frame", time.perf_counter(), ViolationError(problem))
        for event in frame["events"]:
            if event["type"] == "gift" and event["count"] and event["user"].get("id") != self.name:
                self._report("gift.seen", max(now_ms - event["ts_ms"], 0))

    # --- Reports ------------------------------------------------------------------------------------------------------

    def _fire(self, name: str, since: float, error: BaseException | None = None) -> None:
        self._report(name, (time.perf_counter() - since) * 1000, error)

    def _report(self, name: str, took_ms: float, error: BaseException | None = None) -> None:
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=took_ms, response_length=0, exception=error, context={}
        )


def _number(environment: Environment) -> int:
    """The next user's number, unique also when `--processes` shares the users among several."""
    processes = max(getattr(environment.parsed_options, "processes", None) or 1, 1)
    index = max(getattr(environment.runner, "worker_index", 0), 0)
    return next(_numbers) * processes + index
