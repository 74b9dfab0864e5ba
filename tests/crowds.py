"""Crowds of viewers who send many gifts, and what must be true of what they saw."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.system import System
from tests.viewer import Viewer

IN_FLIGHT = 10
GIFTS = ("rose", "heart", "balloon")
ATTEMPTS_MAX = 60


class Watcher(Viewer):
    """Keeps of a room's events only what the checks need."""

    decode = staticmethod(orjson.loads)

    def __init__(self, address: str, token: str | None) -> None:
        super().__init__(address, token)
        self.gift_ids: Counter[str] = Counter()
        self.streak_ends: Counter[str] = Counter()
        self.seq: int | None = None
        self.epoch: int | None = None
        self.problems: list[str] = []

    def keep(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "room.snapshot":
            self.seq, self.epoch = frame["seq"], frame["epoch"]
            self._count(frame["events"])
        elif frame["type"] == "room.events":
            if self.seq is None or frame["first_seq"] != self.seq + 1:
                self.problems.append(f"frame {frame['first_seq']}..{frame['seq']} after {self.seq}")
            seqs = [event["seq"] for event in frame["events"]]
            if seqs != list(range(frame["first_seq"], frame["seq"] + 1)):
                self.problems.append(f"frame {frame['first_seq']}..{frame['seq']} has {seqs}")
            self.seq = frame["seq"]
            self._count(frame["events"])
            return
        elif frame["type"] == "room.gap":
            self.problems.append(f"gap {frame}")
        super().keep(frame)

    def _count(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["type"] == "gift":
                if event["count"]:
                    self.gift_ids[event["id"]] += 1
                if event["repeat_end"] and not event["count"]:
                    self.streak_ends[event["combo_id"]] += 1


@dataclass
class Tally:
    """What the senders were told."""

    accepted: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))  # room -> ref -> event id
    coins: Counter[str] = field(default_factory=Counter)  # user -> charged
    room_coins: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, user: str, room: str, result: dict[str, Any]) -> None:
        if result.get("status") not in ("accepted", "duplicate"):
            self.wrong.append(f"{user}: {result}")
            return
        self.duplicates += result["status"] == "duplicate"
        ref, event_id = result["ref"], result["gift_event_id"]
        known = self.accepted[room].get(ref)
        if known is None:
            self.accepted[room][ref] = event_id
            self.coins[user] += result["coins"]
            self.room_coins[room] += result["coins"]
        elif known != event_id:
            self.wrong.append(f"{user}: ref {ref} was {known}, then {event_id}")


async def send_many(first: Viewer, second: Viewer, user: str, room: str, count: int, tally: Tally) -> None:
    """Send `count` gifts, every third through both connections at once with the same ref."""
    window = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with window:
            ref, gift = f"{user}.{number}", GIFTS[number % len(GIFTS)]
            sends = [first.gift(room, gift, ref=ref)]
            if number % 3 == 0:
                sends.append(second.gift(room, gift, ref=ref))
            results = await asyncio.gather(*sends)
            if len({result.get("gift_event_id") for result in results}) != 1:
                tally.wrong.append(f"{ref}: {results}")
            statuses = sorted(str(result.get("status")) for result in results)
            if statuses not in (["accepted"], ["accepted", "duplicate"]):
                tally.wrong.append(f"{ref}: {statuses}")
            for result in results:
                tally.note(user, room, result)

    await asyncio.gather(*(one(number) for number in range(count)))


class StubbornSender:
    """Sends gifts whatever dies: a gift without an answer is sent again with the same ref, through any process."""

    def __init__(self, system: System, user: str, webs: Sequence[str]) -> None:
        self._system = system
        self._user = user
        self._webs = webs
        self._turn = hash(user)
        self._viewer: Viewer | None = None
        self._token = system.token(user)
        self.repeats = 0

    async def _connected(self) -> Viewer:
        if self._viewer is None:
            self._turn += 1
            viewer = Viewer(self._system.address(self._webs[self._turn % len(self._webs)]), self._token)
            await viewer.__aenter__()
            self._viewer = viewer
        return self._viewer

    async def gift(self, room: str, gift_id: str, ref: str) -> dict[str, Any]:
        for attempt in range(ATTEMPTS_MAX):
            try:
                viewer = await self._connected()
                result = await viewer.gift(room, gift_id, ref=ref)
            except (OSError, AssertionError, ConnectionClosed, InvalidHandshake, TimeoutError):
                await self.aclose()
                await asyncio.sleep(0.1)  # a pause between attempts, not a wait for a result
            else:
                if result.get("status") in ("accepted", "duplicate"):
                    return result
                if not result.get("retryable"):
                    return result
                await asyncio.sleep(0.1)
            self.repeats += attempt >= 0
        raise AssertionError(f"{ref} got no answer in {ATTEMPTS_MAX} attempts")

    async def aclose(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            await viewer.__aexit__()
