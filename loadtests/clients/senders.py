"""Viewers under a drill: gifts at a steady rate whatever happens, then every ref is repeated until its fate is known.

The rate is kept whether answers come or not, and latency counts from the moment at which a gift was meant to be sent.
SIGTERM ends the sending. What got no final answer is then repeated under its ref, as a client does; with `--verify`
also what was accepted: `duplicate` says that the gift is still there, `accepted` that it was lost meanwhile (and is
sent again by the repeat). Writes one JSON object to `--out`, times on the machine's monotonic clock.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson
import uvloop

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import ProtocolError, WebSocketClient, client_frame, connect, gather_some
from loadtests.harness.naming import creator_name, room_name, user_name

TICK_S = 0.01
RECONNECT_S = 0.25
DRAIN_S = 4.0  # a gift is answered within 2 s, or its connection is gone
REPEAT_CHUNK = 2_000  # over all connections, each of which may have 256 in flight
REPEAT_ANSWER_S = 5.0
REPEAT_PAUSE_S = 0.3
SETTLE_TIMEOUT_S = 240.0

PENDING, ACCEPTED, DUPLICATE = "pending", "accepted", "duplicate"
UNSENT, LOST = "not connected", "connection lost"


class Gifts:
    """Every gift of this run by its number: when it was meant to be sent, when and how it was answered."""

    def __init__(self, run: str, users: int) -> None:
        """`run` is a part of every ref."""
        self.run = run
        self.users = users
        self.meant_at: list[float] = []
        self.answered_at: list[float] = []
        self.outcome: list[str] = []
        self.again: dict[int, str] = {}
        self.codes: dict[str, int] = {}
        self.repeating = False

    def frame(self, number: int, room: str) -> bytes:
        """The command that sends a gift, the same at each try."""
        return client_frame(
            b'{"type":"gift.send","ref":"%b-%d","room":"%b","gift_id":"rose","count":1}'
            % (self.run.encode(), number, room.encode())
        )

    def begin(self, meant_at: float, outcome: str = PENDING) -> int:
        """Note a gift that is sent now; returns its number."""
        self.meant_at.append(meant_at)
        self.answered_at.append(meant_at if outcome != PENDING else 0.0)
        self.outcome.append(outcome)
        return len(self.outcome) - 1

    def settle(self, number: int, outcome: str) -> None:
        """An answer came."""
        if self.repeating:
            self.again[number] = outcome
        elif self.outcome[number] == PENDING:
            self.outcome[number], self.answered_at[number] = outcome, time.monotonic()


def outcome_of(frame: dict[str, object]) -> str:
    """`accepted`, `duplicate`, `rejected: <code>` or `unknown: <code>`."""
    if frame["type"] == "gift.result":
        status = str(frame["status"])
        return status if status != "rejected" else f"rejected: {frame['code']}"
    return f"{frame.get('outcome', 'error')}: {frame['code']}"


class Viewer(WebSocketClient):
    """One connection of one sender."""

    def __init__(self, gifts: Gifts) -> None:
        """`gifts` are of all connections."""
        super().__init__()
        self._gifts = gifts
        self.in_flight: set[int] = set()

    def on_text(self, payload: bytes) -> None:
        """Note an answer."""
        if b'"gift.result"' not in payload and b'"error"' not in payload:
            return
        frame = orjson.loads(payload)
        ref = str(frame.get("ref") or "")
        if ref.startswith(self._gifts.run):
            number = int(ref.rpartition("-")[2])
            self.in_flight.discard(number)
            self._gifts.settle(number, outcome_of(frame))

    def connection_lost(self, exc: Exception | None) -> None:
        """What is in flight gets no answer any more."""
        super().connection_lost(exc)
        for number in self.in_flight:
            self._gifts.settle(number, LOST)


class Watcher(WebSocketClient):
    """A viewer who watches a room: counts what was revoked."""

    def __init__(self) -> None:
        """To be used through `connect`."""
        super().__init__()
        self.revoked: list[float] = []

    def on_text(self, payload: bytes) -> None:
        """Look only at what matters here."""
        if b'"gift.revoked"' in payload:
            self.revoked += [time.monotonic()] * payload.count(b'"type":"gift.revoked"')


class Creator(WebSocketClient):
    """A creator's page: notes when how many diamonds were credited in all."""

    def __init__(self) -> None:
        """To be used through `connect`."""
        super().__init__()
        self.credited: list[tuple[float, int]] = []

    def on_text(self, payload: bytes) -> None:
        """Note the balance: one rose is one diamond."""
        if b'"creator.credited"' in payload:
            self.credited.append((time.monotonic(), int(orjson.loads(payload)["balance"])))


class Crowd:
    """All connections of the run, kept open."""

    def __init__(self, options: argparse.Namespace) -> None:
        """`options` are the arguments."""
        self._options = options
        self._tokens = Tokens(os.environ["LIVEGIFT_JWT_SECRET"])
        self.gifts = Gifts(options.run, options.users)
        self.viewers: list[Viewer | None] = [None] * options.users
        self.watchers: list[Watcher] = []
        self.creators: list[Creator] = []
        self.reconnects = 0

    async def open(self) -> None:
        """Open everything; raises when that fails. Keeps the senders connected from then on."""
        await gather_some(self._open_viewer(number) for number in range(self._options.users))
        if self._options.watch:
            self.watchers = await gather_some(self._watch(room) for room in range(self._options.rooms))
        if self._options.credited:
            self.creators = await gather_some(self._attend(room) for room in range(self._options.rooms))

    async def _open_viewer(self, number: int) -> None:
        viewer = await connect(self._options.address, lambda: Viewer(self.gifts))
        token = self._tokens.sign(user_name(number), age_verified=True)
        await viewer.ask("welcome", type="hello", token=token)
        self.viewers[number] = viewer

    async def _watch(self, room: int) -> Watcher:
        watcher = await connect(self._options.address, Watcher)
        await watcher.ask("welcome", type="hello", token=self._tokens.sign(f"watcher-{room}", age_verified=True))
        await watcher.ask("room.snapshot", type="room.join", room=room_name(room))
        return watcher

    async def _attend(self, room: int) -> Creator:
        creator = await connect(self._options.address, Creator)
        await creator.ask("welcome", type="hello", token=self._tokens.sign(creator_name(room), "creator"))
        return creator

    async def stay_open(self) -> None:
        """Reconnect who was disconnected, for ever."""
        while True:
            for number, viewer in enumerate(self.viewers):
                if viewer is None or viewer.closed.done():
                    self.viewers[number] = None
                    with suppress(ProtocolError, OSError, TimeoutError):
                        await self._open_viewer(number)
                        self.reconnects += 1
            await asyncio.sleep(RECONNECT_S)

    def send(self, numbers: Iterable[int]) -> None:
        """Send gifts that were begun already, each sender's in one write."""
        by_sender: dict[int, list[int]] = {}
        for number in numbers:
            by_sender.setdefault(number % len(self.viewers), []).append(number)
        for sender, own in by_sender.items():
            self._send_of(sender, own)

    def _send_of(self, sender: int, numbers: list[int]) -> None:
        """Send one sender's gifts, or note that it is not connected."""
        viewer = self.viewers[sender]
        if viewer is None or viewer.closed.done() or viewer.transport.is_closing():
            for number in numbers:
                self.gifts.settle(number, UNSENT)
            return
        viewer.in_flight.update(numbers)
        room = room_name(sender % self._options.rooms)
        viewer.transport.write(b"".join([self.gifts.frame(number, room) for number in numbers]))


async def keep_rate(crowd: Crowd, rate: float, stop: asyncio.Event) -> None:
    """Send what is due until told to stop. A tick that comes late sends what was due meanwhile."""
    since, gifts = time.monotonic(), crowd.gifts
    while not stop.is_set():
        due = int((time.monotonic() - since) * rate)
        first = len(gifts.outcome)
        for number in range(first, due):
            gifts.begin(since + number / rate)
        crowd.send(range(first, due))
        await asyncio.sleep(TICK_S)


async def settle(crowd: Crowd, *, verify: bool) -> int:
    """Repeat what has no final answer (and with `verify` what was accepted); returns how many stay without one."""
    gifts = crowd.gifts
    gifts.repeating = True
    final = {ACCEPTED, DUPLICATE}
    left = [n for n, outcome in enumerate(gifts.outcome) if verify or outcome not in final]
    left = [n for n in left if gifts.outcome[n] in final or is_retryable(gifts.outcome[n])]
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while left and time.monotonic() < deadline:
        chunk, left = left[:REPEAT_CHUNK], left[REPEAT_CHUNK:]
        for number in chunk:
            gifts.again.pop(number, None)
        crowd.send(chunk)
        until = time.monotonic() + REPEAT_ANSWER_S
        while time.monotonic() < until and any(number not in gifts.again for number in chunk):
            await asyncio.sleep(TICK_S)
        open_ = [n for n in chunk if is_retryable(gifts.again.get(n, PENDING))]
        if open_:
            await asyncio.sleep(REPEAT_PAUSE_S)
        left = open_ + left
    return len(left)


def is_retryable(outcome: str) -> bool:
    """Whether an outcome says that the same ref should be sent again."""
    return outcome in (PENDING, UNSENT, LOST, "rejected: unavailable") or outcome.startswith("unknown")


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Open, say so, send until SIGTERM, settle; returns what to write."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    crowd = Crowd(options)
    await crowd.open()
    keeper = asyncio.create_task(crowd.stay_open())
    print("sending", flush=True)
    await keep_rate(crowd, options.rate, stop)
    deadline = time.monotonic() + DRAIN_S
    while PENDING in crowd.gifts.outcome and time.monotonic() < deadline:
        await asyncio.sleep(TICK_S)
    unsettled = await settle(crowd, verify=options.verify)
    keeper.cancel()
    gifts = crowd.gifts
    return {
        "users": options.users,
        "meant_at": gifts.meant_at,
        "answered_at": gifts.answered_at,
        "outcome": gifts.outcome,
        "again": {str(number): outcome for number, outcome in gifts.again.items()},
        "unsettled": unsettled,
        "reconnects": crowd.reconnects,
        "revoked_at": sorted(at for watcher in crowd.watchers for at in watcher.revoked),
        "credited": [creator.credited for creator in crowd.creators],
        "cpu_s": time.process_time(),
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--run", required=True, help="a part of every ref, new for each run")
    parser.add_argument("--out", required=True)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--rooms", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1000.0, help="gifts per second of all together")
    parser.add_argument("--verify", action="store_true", help="repeat accepted refs, too")
    parser.add_argument("--watch", action="store_true", help="one watcher per room counts revocations")
    parser.add_argument("--credited", action="store_true", help="every creator listens for credits")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    Path(given.out).write_bytes(orjson.dumps(uvloop.run(main(given))))
