"""Sends gifts as fast as they are answered: a few connections, each with a bounded number of gifts in flight.

Prints one JSON object with what was answered in the measured interval and how much CPU the watched processes used in
just that interval. `python -m loadtests.clients.gifts --help` tells the arguments; LIVEGIFT_JWT_SECRET signs tokens.
"""

import argparse
import asyncio
import itertools
import os
import time
from dataclasses import dataclass, field

import orjson
import uvloop

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import WebSocketClient, client_frame, connect, gather_some
from loadtests.harness.measure import cpu_s

DRAIN_TIMEOUT_S = 10.0
HELLO_TIMEOUT_S = 10.0
DRAIN_POLL_S = 0.01
ANSWERS_SHOWN_MAX = 5


@dataclass(slots=True)
class Tally:
    """What all connections were answered. `others` are answers that are not `accepted`, a few of them."""

    running: bool = False
    accepted: int = 0
    failed: int = 0
    in_flight: int = 0
    others: list[str] = field(default_factory=list)


class Sender(WebSocketClient):
    """One connection of one user. A gift that is answered is followed by the next."""

    def __init__(self, tally: Tally, user: str, room: str, run: str) -> None:
        """`run` makes the refs differ from those of an earlier run."""
        super().__init__()
        self._tally = tally
        self.user = user
        self._room = room.encode()
        self._ref = f"{run}-{user}-".encode()
        self._numbers = itertools.count()
        self._answered = 0

    async def hello(self, token: str) -> None:
        """Say who it is; `user` is for peers that check no tokens."""
        await self.ask("welcome", type="hello", token=token, user=self.user)

    def _gift(self) -> bytes:
        return client_frame(self._command(next(self._numbers)))

    def _command(self, number: int) -> bytes:
        return b'{"type":"gift.send","ref":"%b%d","room":"%b","gift_id":"rose","count":1}' % (
            self._ref,
            number,
            self._room,
        )

    def send_gifts(self, count: int) -> None:
        """Put `count` more in flight, in one write."""
        self._tally.in_flight += count
        self.transport.write(b"".join([self._gift() for _ in range(count)]))

    def on_text(self, payload: bytes) -> None:
        """Count an answer."""
        if b'"status":"accepted"' in payload:
            self._tally.accepted += 1
        elif b'"gift.result"' in payload or b'"error"' in payload:
            self._tally.failed += 1
            if len(self._tally.others) < ANSWERS_SHOWN_MAX:
                self._tally.others.append(payload.decode())
        else:
            return  # welcome, wallet, …
        self._answered += 1

    def on_read(self) -> None:
        """Replace what was answered."""
        count, self._answered = self._answered, 0
        self._tally.in_flight -= count
        if count and self._tally.running:
            self.send_gifts(count)


class SocketIoSender(Sender):
    """The same in Socket.IO's frames: 0 opens, 40 joins the namespace, 42 is an event, 43 its acknowledgement."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def __init__(self, tally: Tally, user: str, room: str, run: str) -> None:
        """See `Sender`."""
        super().__init__(tally, user, room, run)
        self._known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def hello(self, token: str) -> None:
        """Wait until the server knows who it is; there are no tokens."""
        del token
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            await self._known

    def _command(self, number: int) -> bytes:
        return b'42%d["gift",%b]' % (number + 1, super()._command(number))

    def on_text(self, payload: bytes) -> None:
        """Shake hands, then count."""
        if payload.startswith(b"0{"):
            self.transport.write(client_frame(b"40"))
        elif payload.startswith(b"40{"):
            self.transport.write(client_frame(b'420["hello","%b"]' % self.user.encode()))
        elif payload.startswith(b"430["):
            self._known.set_result(None)
        elif payload == b"2":
            self.transport.write(client_frame(b"3"))
        else:
            super().on_text(payload)


SENDERS = {"livegift": Sender, "socketio": SocketIoSender}


async def open_sender(options: argparse.Namespace, tokens: Tokens, tally: Tally, number: int) -> Sender:
    """Connect and say hello."""
    user = f"{options.user_prefix}{number}"
    kind = SENDERS[options.way]
    sender = await connect(options.address, lambda: kind(tally, user, options.room, options.run))
    await sender.hello(tokens.sign(user, age_verified=True))
    return sender


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Warm up, measure, drain."""
    tokens, tally = Tokens(os.environ["LIVEGIFT_JWT_SECRET"]), Tally(running=True)
    watched = {name: int(pid) for name, _, pid in (text.partition("=") for text in options.watch)}
    senders = await gather_some(open_sender(options, tokens, tally, number) for number in range(options.connections))
    for sender in senders:
        sender.send_gifts(options.window)
    await asyncio.sleep(options.warm_up_s)

    before = {name: cpu_s(pid) for name, pid in watched.items()}
    own, since, accepted = time.process_time(), time.perf_counter(), tally.accepted
    await asyncio.sleep(options.seconds)
    took_s, own = time.perf_counter() - since, time.process_time() - own
    counted = tally.accepted - accepted
    used = {name: cpu_s(pid) - before[name] for name, pid in watched.items()}

    tally.running = False
    deadline = time.perf_counter() + DRAIN_TIMEOUT_S
    while tally.in_flight and time.perf_counter() < deadline:
        await asyncio.sleep(DRAIN_POLL_S)
    lost = [sender.closed.result() for sender in senders if sender.closed.done()]
    for sender in senders:
        sender.transport.abort()
    return {
        "seconds": took_s,
        "accepted": counted,
        "cpu_s": {**used, "client": own},
        "accepted_total": tally.accepted,
        "failed_total": tally.failed,
        "unanswered": tally.in_flight,
        "others": tally.others,
        "connections_lost": len(lost),
        "lost_because": sorted(set(lost))[:ANSWERS_SHOWN_MAX],
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--way", choices=SENDERS, default="livegift", help="whose frames")
    parser.add_argument("--room", required=True)
    parser.add_argument("--run", required=True, help="a part of every ref, new for each run")
    parser.add_argument("--user-prefix", default="sender-")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--window", type=int, default=10, help="gifts in flight per connection")
    parser.add_argument("--warm-up-s", type=float, default=1.5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--watch", action="append", default=[], metavar="NAME=PID")
    return parser.parse_args()


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(main(arguments()))).decode())
