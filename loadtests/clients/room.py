"""One sender and some viewers in a quiet room: how long until the others see a gift.

Prints one JSON object: `seen_ms` and `result_ms` from the moment at which each gift was *meant* to be sent, `late_ms`
by how much this process itself was late with sending (it is part of the other two).
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any

import orjson
import uvloop

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import WebSocketClient, connect, gather_some

LAST_TIMEOUT_S = 10.0
POLL_S = 0.01
REJECTED_SHOWN_MAX = 3
JITTER = 0.25  # so that the gifts keep no step with any period of the server

Handler = Callable[[dict[str, Any], float], None]


class Member(WebSocketClient):
    """One connection that hands on what it gets, with the time at which it came."""

    def __init__(self, handle: Handler) -> None:
        """`handle` gets each frame."""
        super().__init__()
        self._handle = handle

    def on_text(self, payload: bytes) -> None:
        """Note the time first."""
        now = time.perf_counter()
        self._handle(orjson.loads(payload), now)


class Timing:
    """The moments, by the gift's number, which travels in its ref and as its message. The first ones do not count."""

    def __init__(self, sender: str, warm_up: int) -> None:
        """`sender` is the user whose gifts count, from number `warm_up` on."""
        self._sender = sender
        self._warm_up = warm_up
        self.meant_at: list[float] = []
        self.seen_ms: list[float] = []
        self.result_ms: list[float] = []
        self.late_ms: list[float] = []
        self.rejected: list[object] = []

    def note(self, values_ms: list[float], number: int, now: float) -> None:
        """Something happened to gift `number`."""
        if number >= self._warm_up:
            values_ms.append((now - self.meant_at[number]) * 1000)

    def on_sender_frame(self, frame: dict[str, Any], now: float) -> None:
        """What the sender gets."""
        if frame["type"] != "gift.result":
            return
        if frame["status"] == "accepted":
            self.note(self.result_ms, int(frame["ref"].rpartition("-")[2]), now)
        else:
            self.rejected.append(frame)

    def on_viewer_frame(self, frame: dict[str, Any], now: float) -> None:
        """What a viewer gets."""
        if frame["type"] != "room.events":
            return
        for event in frame["events"]:
            if event["type"] == "gift" and event["count"] and event["user"].get("id") == self._sender:
                self.note(self.seen_ms, int(event["message"]), now)


async def enter(options: argparse.Namespace, tokens: Tokens, user: str, handle: Handler) -> Member:
    """Connect, say hello, join."""
    member = await connect(options.address, lambda: Member(handle))
    await member.ask("welcome", type="hello", token=tokens.sign(user, age_verified=True))
    await member.ask("room.snapshot", type="room.join", room=options.room)
    return member


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Send at the configured rate, then wait for the last to arrive."""
    tokens, timing = Tokens(os.environ["LIVEGIFT_JWT_SECRET"]), Timing(options.sender, options.warm_up)
    sender = await enter(options, tokens, options.sender, timing.on_sender_frame)
    viewers = await gather_some(
        enter(options, tokens, f"viewer-{number}", timing.on_viewer_frame) for number in range(options.viewers)
    )
    jitter = random.Random(options.seed)  # noqa: S311 - spreads times
    at = time.perf_counter() + 1 / options.gifts_per_s
    for number in range(options.warm_up + options.gifts):
        await asyncio.sleep(at - time.perf_counter())
        timing.meant_at.append(at)
        timing.note(timing.late_ms, number, time.perf_counter())
        ref = f"{options.run}-{number}"
        sender.send(type="gift.send", ref=ref, room=options.room, gift_id="rose", message=str(number))
        at += jitter.uniform(1 - JITTER, 1 + JITTER) / options.gifts_per_s
    wanted = options.gifts * options.viewers
    deadline = time.perf_counter() + LAST_TIMEOUT_S
    while time.perf_counter() < deadline and (len(timing.seen_ms) < wanted or len(timing.result_ms) < options.gifts):
        await asyncio.sleep(POLL_S)
    for member in (sender, *viewers):
        member.transport.abort()
    return {
        "seen_ms": timing.seen_ms,
        "result_ms": timing.result_ms,
        "late_ms": timing.late_ms,
        "missing": wanted - len(timing.seen_ms),
        "rejected": timing.rejected[:REJECTED_SHOWN_MAX],
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--run", required=True, help="a part of every ref, new for each run")
    parser.add_argument("--sender", default="quiet-sender")
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--gifts", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=5, help="gifts before those that count")
    parser.add_argument("--gifts-per-s", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1, help="of the jitter between gifts")
    return parser.parse_args()


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(main(arguments()))).decode())
