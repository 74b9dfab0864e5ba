"""Viewers who come back: they follow one room over restarts of the servers and check that they have everything once.

Prints `watching` when all have joined. At SIGTERM prints one JSON object: for each viewer what it has seen, how often
it came back, when, and what was wrong.
"""

import argparse
import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import orjson
import uvloop

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import ProtocolError, WebSocketClient, connect, gather_some

RECONNECT_S = 0.1
WRONG_SHOWN_MAX = 5


class Viewer:
    """One viewer, over as many connections as it takes."""

    def __init__(self, options: argparse.Namespace, tokens: Tokens, number: int) -> None:
        """Not connected."""
        self._options = options
        self._token = tokens.sign(f"viewer-{number}", age_verified=True)
        self._turn = number
        self._random = random.Random(options.seed * 1_000_003 + number)  # noqa: S311 - spreads load
        self.epoch: int | None = None
        self.seq: int | None = None
        self.gifts = self.coins = self.returns = 0
        self.base: dict[str, int] = {}
        self.totals: dict[str, int] = {}
        self.wrong: list[str] = []
        self.byes: list[float] = []
        self.joined_at: list[float] = []
        self.codes: Counter[str] = Counter()
        self.joined = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        addresses = self._options.address
        while True:
            address = addresses[self._turn % len(addresses)]
            self._turn += 1
            with suppress(OSError, ProtocolError, TimeoutError):
                client = await connect(address, lambda: _Client(self))
                await client.ask("welcome", type="hello", token=self._token)
                since = {} if self.seq is None else {"since": self.seq, "since_epoch": self.epoch}
                client.send(type="room.join", room=self._options.room, **since)
                why = await asyncio.shield(client.closed)
                self.codes[why] += 1
                self.returns += 1
            await asyncio.sleep(RECONNECT_S * self._random.uniform(0.5, 1.5))

    def on_frame(self, frame: dict[str, Any]) -> None:
        """Keep count; note what can't be."""
        kind = frame["type"]
        if kind == "room.snapshot":
            self._on_snapshot(frame)
        elif kind == "room.events":
            if self.seq is None or frame["epoch"] != self.epoch or frame["first_seq"] != self.seq + 1:
                self.wrong.append(f"frame {frame['first_seq']}..{frame['seq']} after {self.seq}")
            self._take(frame["events"], frame["seq"])
            self.totals = frame["totals"]
        elif kind == "room.gap":
            self.wrong.append(f"gap {frame['from_seq']}..{frame['to_seq']}")
        elif kind == "bye":
            self.byes.append(frame["reconnect_in_ms"])

    def _on_snapshot(self, frame: dict[str, Any]) -> None:
        self.joined_at.append(time.monotonic())
        if self.seq is None:
            self.base = frame["totals"]
        elif frame["epoch"] != self.epoch or not frame["complete"]:
            self.wrong.append(f"not everything since {self.seq} can be had")
        self.epoch = frame["epoch"]
        self._take(frame["events"], frame["seq"])
        self.totals = frame["totals"]
        self.joined.set()

    def _take(self, events: list[dict[str, Any]], seq: int) -> None:
        for event in events:
            if self.seq is not None and event["seq"] <= self.seq:
                self.wrong.append(f"event {event['seq']} twice")
            if event["type"] == "gift" and event["count"]:
                self.gifts += 1
                self.coins += event["coins"]
        self.seq = seq


class _Client(WebSocketClient):
    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer

    def on_text(self, payload: bytes) -> None:
        """Every frame."""
        self._viewer.on_frame(orjson.loads(payload))


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tokens = Tokens(os.environ["LIVEGIFT_JWT_SECRET"])
    viewers = [Viewer(options, tokens, number) for number in range(options.viewers)]
    tasks = [asyncio.create_task(viewer.run()) for viewer in viewers]
    await gather_some(viewer.joined.wait() for viewer in viewers)
    print("watching", flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    wrong = [text for viewer in viewers for text in viewer.wrong]
    missing = [
        v.totals["gifts"] - v.base["gifts"] - v.gifts or v.totals["coins"] - v.base["coins"] - v.coins for v in viewers
    ]
    return {
        "viewers": len(viewers),
        "seen": Counter(f"{v.gifts} gifts, {v.coins} coins" for v in viewers),
        "returns": sum(v.returns for v in viewers),
        "closed": sum((v.codes for v in viewers), Counter[str]()),
        "byes_ms": sorted(ms for v in viewers for ms in v.byes),
        "joined_at": sorted(at for v in viewers for at in v.joined_at[1:]),
        "wrong": len(wrong),
        "wrong_some": wrong[:WRONG_SHOWN_MAX],
        "not_adding_up": sum(value != 0 for value in missing),
        "seqs": Counter(v.seq for v in viewers).most_common(3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", action="append", required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="of the pauses before viewers come back")
    found = uvloop.run(main(parser.parse_args()))
    print(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS).decode())
