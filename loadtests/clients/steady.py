"""Gifts at a steady rate into one room, each with an answer in the end: the unknown is sent again with the same ref.

Each gift's message tells when it was meant to be sent. A connection that is lost is opened again, at the next address.
Prints `sending`, then sends until SIGTERM (or --gifts), waits for the last answers and prints one JSON object.
"""

import argparse
import asyncio
import os
import signal
import time
from contextlib import suppress
from itertools import count

import orjson
import uvloop

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import ProtocolError, WebSocketClient, connect
from loadtests.harness.measure import percentiles

TICK_S = 0.005
RETRY_S = 0.2
RECONNECT_S = 0.1
SETTLE_TIMEOUT_S = 60.0
REJECTED_SHOWN_MAX = 3


class Gift:
    """One gift until it is answered."""

    def __init__(self, number: int, meant_at_ns: int) -> None:
        """Not sent yet."""
        self.number = number
        self.meant_at_ns = meant_at_ns
        self.tries = 0


class Sender(WebSocketClient):
    """A connection that hands on what it is told."""

    def __init__(self, load: "Load") -> None:
        """`load` has the gifts."""
        super().__init__()
        self._load = load

    def on_text(self, payload: bytes) -> None:
        """An answer, or something that a sender need not know."""
        frame = orjson.loads(payload)
        if frame["type"] == "gift.result":
            self._load.on_result(frame)
        elif frame["type"] == "error" and "ref" in frame:
            self._load.on_unknown(frame["ref"])


class Load:
    """The gifts under way, and what came of the others."""

    def __init__(self, options: argparse.Namespace) -> None:
        """As the command line says."""
        self._options = options
        self._tokens = Tokens(os.environ["LIVEGIFT_JWT_SECRET"])
        self._open: dict[str, Gift] = {}
        self._senders: list[Sender | None] = [None] * options.connections
        self._turn = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.result_ms: list[float] = []
        self.accepted = self.duplicates = self.coins = self.repeated = self.reconnects = 0
        self.rejected: list[object] = []

    async def keep_open(self, number: int) -> None:
        """One sender's connection, again and again."""
        addresses = self._options.address
        for attempt in count(number):
            address = addresses[attempt % len(addresses)]
            with suppress(OSError, ProtocolError, TimeoutError):
                sender = await connect(address, lambda: Sender(self))
                token = self._tokens.sign(f"{self._options.user_prefix}{number}", age_verified=True)
                await sender.ask("welcome", type="hello", token=token)
                self._senders[number] = sender
                await asyncio.shield(sender.closed)
                self.reconnects += 1
            self._senders[number] = None
            self.resend(number)
            await asyncio.sleep(RECONNECT_S)

    def resend(self, number: int) -> None:
        """What this sender had under way will not be answered on that connection."""
        for ref, gift in list(self._open.items()):
            if gift.number % len(self._senders) == number and gift.tries:
                self.on_unknown(ref)

    def send(self, ref: str, gift: Gift) -> None:
        """Each gift has its sender, as its ref belongs to that wallet."""
        sender = self._senders[gift.number % len(self._senders)]
        if sender is None or sender.transport.is_closing():
            self.on_unknown(ref)
            return
        gift.tries += 1
        self.repeated += gift.tries > 1
        message = f"t-{gift.meant_at_ns}-{gift.number}"
        sender.send(type="gift.send", ref=ref, room=self._options.room, gift_id="rose", message=message)

    def on_unknown(self, ref: str) -> None:
        """Nobody knows: the same ref will tell."""
        gift = self._open.get(ref)
        if gift is not None:
            asyncio.get_running_loop().call_later(RETRY_S, self._try_again, ref, gift)

    def _try_again(self, ref: str, gift: Gift) -> None:
        if self._open.get(ref) is gift:
            self.send(ref, gift)

    def on_result(self, frame: dict[str, object]) -> None:
        """One gift is answered."""
        gift = self._open.get(str(frame["ref"]))
        if gift is None:
            return
        if frame["status"] == "rejected":
            if frame.get("retryable"):
                self.on_unknown(str(frame["ref"]))
                return
            self.rejected.append(frame)
        else:
            self.accepted += 1
            self.duplicates += frame["status"] == "duplicate"
            self.coins += int(str(frame["coins"]))
            self.result_ms.append((time.monotonic_ns() - gift.meant_at_ns) / 1e6)
        del self._open[str(frame["ref"])]

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop."""
        for number in range(len(self._senders)):
            task = asyncio.create_task(self.keep_open(number))
            self._tasks.add(task)
        while None in self._senders:
            await asyncio.sleep(TICK_S)
        print("sending", flush=True)
        begin_ns, gap_ns, sent = time.monotonic_ns(), int(1e9 / self._options.per_s), 0
        while not stop.is_set() and not (self._options.gifts and sent >= self._options.gifts):
            due = (time.monotonic_ns() - begin_ns) // gap_ns + 1
            if self._options.gifts:
                due = min(due, self._options.gifts)
            for number in range(sent, due):
                ref, gift = f"{self._options.run}-{number}", Gift(number, begin_ns + number * gap_ns)
                self._open[ref] = gift
                self.send(ref, gift)
            sent = due
            await asyncio.sleep(TICK_S)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while self._open and time.monotonic() < deadline:
            await asyncio.sleep(TICK_S)
        for task in self._tasks:
            task.cancel()

    def summary(self) -> dict[str, object]:
        """What came of them."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "coins": self.coins,
            "repeated": self.repeated,
            "reconnects": self.reconnects,
            "rejected": len(self.rejected),
            "others": self.rejected[:REJECTED_SHOWN_MAX],
            "unanswered": len(self._open),
            "result_ms": percentiles(self.result_ms) if len(self.result_ms) > 1 else {},
            "cpu_s": time.process_time(),
        }


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    load = Load(options)
    await load.run(stop)
    return load.summary()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", action="append", required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--run", required=True, help="a part of every ref, new for each run")
    parser.add_argument("--user-prefix", default="sender-")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--gifts", type=int, default=0, help="stop after so many; 0: at SIGTERM")
    print(orjson.dumps(uvloop.run(main(parser.parse_args()))).decode())
