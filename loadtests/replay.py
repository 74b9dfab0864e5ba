"""Replay a recorded evening through real sockets: what was sent, seen and booked has to be the same.

    python -m loadtests.replay --catalogue gifts.json --log gifts.jsonl [--speed 20]

The catalogue is what `livegift gifts load` takes. The log has one recorded gift message a line: room, user, gift_id,
gift_name, coins_each, streakable, streak (which messages belong together), repeat_count (cumulative in the streak) and
ts. Messages may stand in any order, as they do in recordings; those that a later one has overtaken add nothing. Each
user has a connection, each room one that watches. Exit code 0 only when everything adds up.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import psycopg
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect

from livegift.composition import audit_plan
from livegift.contract.values import GiftKind
from livegift.features.catalogue.gift_files import parse_catalogue
from livegift.ledger.catalogue import put_gifts, read_gifts
from livegift.operations.audit import audit
from loadtests.harness.processes import LoadTestError, exit_on_sigterm
from loadtests.harness.stack import Stack

PAUSE_MAX_S = 2.0  # however long nothing happened
SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Send:
    """One send taken from the recording: `count` more gifts of a streak, `at_s` after the room's first."""

    room: str
    user: str
    gift_id: str
    count: int
    at_s: float


@dataclass(slots=True)
class Seen:
    """What the connection that watches a room has seen."""

    coins: int = 0
    sends: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    streaks: Counter[str] = field(default_factory=Counter)
    ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def note(self, frame: dict[str, Any]) -> None:
        """Take in a frame."""
        if frame["type"] not in ("room.events", "room.snapshot"):
            return
        self.totals = frame["totals"]
        for event in frame["events"]:
            if event["type"] != "gift":
                continue
            self.coins += event["coins"]
            self.sends += event.get("merged", 1) if event["count"] else 0
            self.streaks[event["combo_id"]] += event["count"]
            if event["repeat_end"]:
                self.ends[event["combo_id"]].append(event["repeat_count"])


def sends_of(lines: Sequence[str]) -> list[Send]:
    """Return the sends, room by room and ordered by time: each message adds what is new in its streak."""
    messages = sorted((json.loads(line) for line in lines if line.strip()), key=lambda m: (m["ts"], m["repeat_count"]))
    first_s: dict[str, float] = {}
    counted: Counter[tuple[str, str, int]] = Counter()
    sends = []
    for message in messages:
        at_s = datetime.fromisoformat(message["ts"][:23].rstrip("Z")).replace(tzinfo=UTC).timestamp()
        start_s = first_s.setdefault(message["room"], at_s)
        streak = (message["room"], message["user"], message["streak"])
        more = message["repeat_count"] - counted[streak]
        if more > 0:
            counted[streak] += more
            sends.append(Send(message["room"], message["user"], message["gift_id"], more, at_s - start_s))
    return sends


def kinds_of(catalogue: bytes, lines: Sequence[str]) -> dict[str, GiftKind]:
    """Return the catalogue as the log knows it: gifts that it lacks are added, streaks are as they were."""
    kinds = {kind.id: kind for kind in parse_catalogue(catalogue)}
    for message in (json.loads(line) for line in lines if line.strip()):
        (logged,) = parse_catalogue(
            orjson.dumps([{"id": message["gift_id"], "name": message["gift_name"], "coins": message["coins_each"]}])
        )
        known = kinds.get(message["gift_id"], logged)
        kinds[message["gift_id"]] = replace(known, coins=logged.coins, streakable=message["streakable"])
    return kinds


async def _hello(address: str, token: str) -> ClientConnection:
    socket = await connect(f"ws://{address}/v1/ws", max_size=None)
    await socket.send(orjson.dumps({"type": "hello", "token": token}).decode())
    welcome = orjson.loads(await socket.recv())
    if welcome["type"] != "welcome":
        raise LoadTestError(f"expected welcome, got {welcome}")
    return socket


async def _watch(socket: ClientConnection, seen: Seen) -> None:
    async for text in socket:
        seen.note(orjson.loads(text))


async def _send(socket: ClientConnection, ref: str, send: Send) -> int:
    """Send and return the coins that were charged. Raises LoadTestError for a refusal."""
    command = {"type": "gift.send", "ref": ref, "room": send.room, "gift_id": send.gift_id, "count": send.count}
    await socket.send(orjson.dumps(command).decode())
    while (answer := orjson.loads(await socket.recv())).get("ref") != ref:
        pass
    if answer.get("status") != "accepted":
        raise LoadTestError(f"{send} was answered {answer}")
    return int(answer["coins"])


async def _play_room(stack: Stack, sends: Sequence[Send], speed: float) -> tuple[int, Seen]:
    room, address = sends[0].room, stack.address
    async with AsyncExitStack() as opened:
        watching = await _hello(address, stack.tokens.sign(f"watcher-{room}", age_verified=True))
        opened.push_async_callback(watching.close)
        seen = Seen()
        watcher = asyncio.create_task(_watch(watching, seen))
        await watching.send(orjson.dumps({"type": "room.join", "room": room}).decode())
        sockets: dict[str, ClientConnection] = {}
        for user in {send.user for send in sends}:
            sockets[user] = await _hello(address, stack.tokens.sign(user, age_verified=True, name=user))
            opened.push_async_callback(sockets[user].close)
        coins = 0
        pauses = [0.0, *(min((b.at_s - a.at_s) / speed, PAUSE_MAX_S) for a, b in pairwise(sends))]
        for number, (send, pause_s) in enumerate(zip(sends, pauses, strict=True)):
            await asyncio.sleep(pause_s)
            coins += await _send(sockets[send.user], f"{room}-{number}", send)
        async with asyncio.timeout(SETTLE_S):
            while seen.coins < coins or set(seen.streaks) != set(seen.ends):
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)  # time for duplicates to arrive
        await watching.close()
        await watcher
    return coins, seen


async def _play(stack: Stack, kinds: dict[str, GiftKind], sends: Sequence[Send], speed: float) -> dict[str, Any]:
    by_room: dict[str, list[Send]] = defaultdict(list)
    for send in sends:
        by_room[send.room].append(send)
    played = await asyncio.gather(*(_play_room(stack, found, speed) for found in by_room.values()))
    expected = sum(kinds[send.gift_id].coins * send.count for send in sends)
    wrong = []
    for (coins, seen), room in zip(played, by_room, strict=True):
        if not coins == seen.coins == seen.totals["coins"]:
            wrong.append(f"{room}: {coins} coins sent, {seen.coins} seen, totals say {seen.totals['coins']}")
        if not len(by_room[room]) == seen.sends == seen.totals["gifts"]:
            wrong.append(f"{room}: {len(by_room[room])} sends, {seen.sends} seen, totals say {seen.totals['gifts']}")
        wrong += [
            f"{room}: streak {combo} of {count} ended with {seen.ends[combo]}"
            for combo, count in seen.streaks.items()
            if seen.ends[combo] != [count]
        ]
    report = await audit(stack.settings, audit_plan())
    booked = await asyncio.to_thread(_booked, stack)
    if booked != expected:
        wrong.append(f"{expected} coins sent, {booked} booked")
    if not report.passed:
        wrong.append(report.to_text())
    return {
        "rooms": len(by_room),
        "senders": len({send.user for send in sends}),
        "gifts_in_the_catalogue": len(kinds),
        "sends": len(sends),
        "coins_sent": sum(coins for coins, _ in played),
        "coins_seen": sum(seen.coins for _, seen in played),
        "coins_booked": booked,
        "streaks": sum(len(seen.streaks) for _, seen in played),
        "streaks_ended_once": sum(len(end) == 1 for _, seen in played for end in seen.ends.values()),
        "audit": "passed" if report.passed else "failed",
        "wrong": wrong,
    }


def _booked(stack: Stack) -> int:
    with psycopg.connect(stack.postgres.url) as connection:
        row = connection.execute("SELECT coalesce(sum(coins), 0) FROM gifts").fetchone()
    return int(row[0]) if row else 0


def replay(catalogue: bytes, lines: Sequence[str], speed: float) -> dict[str, Any]:
    """Play a log on a private system; return the figures, with what does not add up as `wrong`."""
    kinds, sends = kinds_of(catalogue, lines), sends_of(lines)
    with Stack() as stack:
        for name in ("web", "relay", "aggregator"):
            stack.start(name)
        stack.wait_ready()
        stack.with_stores(lambda _, database: put_gifts(database, kinds.values(), active=True, actor="replay"))
        known = stack.with_stores(lambda _, database: read_gifts(database))
        stack.wait_until(lambda: len(stack.http("GET", "/v1/gifts")[1]["gifts"]) == len(known), "the gifts are known")
        for room in sorted({send.room for send in sends}):
            stack.open_room(room, f"creator-{room}")
        spent: Counter[str] = Counter()
        for send in sends:
            spent[send.user] += kinds[send.gift_id].coins * send.count
        stack.grant(spent)
        return asyncio.run(_play(stack, kinds, sends, speed))


def main() -> None:
    """Replay a log; exit code 1 when something does not add up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalogue", type=Path, required=True, help="JSON, as `livegift gifts load` takes it")
    parser.add_argument("--log", type=Path, required=True, help="one gift message a line")
    parser.add_argument("--speed", type=float, default=20.0, help="times as fast as recorded (default 20)")
    given = parser.parse_args()
    exit_on_sigterm()
    found = replay(given.catalogue.read_bytes(), given.log.read_text().splitlines(), given.speed)
    for name, value in found.items():
        if name != "wrong":
            print(f"{name.replace('_', ' '):24} {value}")
    for line in found["wrong"]:
        print(f"WRONG: {line}")
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
