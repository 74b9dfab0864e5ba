"""Commands that were changed at random, sent by a viewer who has said hello and joined a room.

LIVEGIFT_FUZZ_FRAMES says how many (20,000 is a thorough run); LIVEGIFT_FUZZ_SEED repeats one.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from tests.hostile import unharmed
from tests.raw import RawSocket, frame
from tests.system import System

# Read before the fixture that takes the settings out of the environment.
FRAMES = int(os.environ.get("LIVEGIFT_FUZZ_FRAMES", "2000"))
SEED = int(os.environ.get("LIVEGIFT_FUZZ_SEED", "1"))
BATCH = 100
CODES = {1000, 1002, 1007, 1009, 4400, 4401, 4403, 4429}
SEEDS: list[dict[str, Any]] = [
    {"type": "gift.send", "ref": "r", "room": "r1", "gift_id": "rose", "count": 1, "message": "hi", "anonymous": True},
    {"type": "gift.send", "ref": "s", "room": "r1", "gift_id": "balloon", "to": "bob", "price": 5, "id": "i"},
    {"type": "room.join", "room": "r1", "since": 1, "since_epoch": 1, "id": 7},
    {"type": "room.leave", "room": "r2"},
    {"type": "ping", "t": [1, {"a": None}]},
    {"type": "hello", "token": "a.b.c"},
    {"type": "chat.send", "room": "r1", "text": "hi"},
]
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 2**53, 2**63, 2**64, -(2**63) - 1, "", "x" * 65, "\x00", "é", "🌹" * 70, "r1\n",
    "{r1}", [], {}, [[]] * 5, {"a": {"b": []}}, "bob", "rose", "999", 999, 1000,
]  # fmt: skip


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def changed(rng: random.Random, number: int) -> bytes:
    """One command as its JSON, changed in its fields or in its bytes; each has a ref of its own or shares one."""
    fields = dict(rng.choice(SEEDS))
    if "ref" in fields and rng.random() < 0.7:
        fields["ref"] = f"fuzz-{SEED}-{number}"
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        name = rng.choice([*fields, "type", "id", "ref", "unknown"])
        if rng.random() < 0.2:
            fields.pop(name, None)
        else:
            fields[name] = rng.choice(VALUES)
    text = bytearray(_json(fields))
    if rng.random() < 0.15:
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            rng.choice(_CHANGES)(rng, text, at)
            if not text:
                break
    return bytes(text)


def harmless(rng: random.Random, number: int) -> bytes:
    """The same, but such that the connection has to go on: an object still, and no hello with a wrong token."""
    while True:
        text = changed(rng, number)
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict) and found.get("type") != "hello":
            return text


def _json(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields)
    except TypeError:  # a number that orjson does not write
        return repr(fields).replace("'", '"').replace("None", "null").replace("True", "true").encode()


_CHANGES: list[Callable[[random.Random, bytearray, int], None]] = [
    lambda rng, text, at: text.__setitem__(at, rng.randrange(256)),
    lambda _, text, at: text.__delitem__(slice(at, None)),
    lambda _, text, at: text.__setitem__(slice(at, at), text[at:]),
    lambda rng, text, at: text.__setitem__(slice(at, at), bytes([rng.randrange(256)])),
]


def framed(rng: random.Random, text: bytes) -> bytes:
    """As a message, now and then in pieces."""
    if rng.random() < 0.1:
        cut = rng.randint(0, len(text))
        return frame(text[:cut], 0x01) + frame(b"?", 0x89) + frame(text[cut:], 0x80)
    return frame(text)


async def answers(raw: RawSocket, looked_at: asyncio.Event) -> tuple[int, list[dict[str, Any]]]:
    """All that comes until the close; its code (1006: none)."""
    found: list[dict[str, Any]] = []
    try:
        while (got := await raw.read(60)).opcode != 8:
            if got.opcode == 1:
                found.append(got.json())
            if found and found[-1].get("t") == "all but one":
                looked_at.set()
            if found and found[-1] == {**found[-1], "type": "pong", "t": "the end"}:
                return 1000, found
    except (asyncio.IncompleteReadError, ConnectionError):
        looked_at.set()
        return 1006, found
    looked_at.set()
    return (got.code if len(got.payload) >= 2 else 1005), found


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_commands_that_were_changed_at_random(system: System) -> None:
    rng = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    for room in ("r2", "r3"):
        system.open_room(room, "bob")
    await system.grant({"fuzz": 1_000_000}, ref=f"fuzz-{SEED}")
    token, sent = system.token("fuzz"), 0
    codes: Counter[int] = Counter()
    kinds: Counter[str] = Counter()
    while sent < FRAMES:
        async with RawSocket(system.address()) as raw:
            await raw.hello(token, ["r1"])
            batch = [framed(rng, harmless(rng, sent + n)) for n in range(BATCH - 1)]
            batch.append(frame(b'{"type":"ping","t":"all but one"}'))
            opcode = rng.choice((0x81, 0x81, 0x81, 0x82, 0x83, 0xC1, 0x88, 0x80))
            batch.append(frame(changed(rng, sent + BATCH), opcode))  # after this one anything may be
            sent += BATCH
            reading = asyncio.create_task(answers(raw, looked_at := asyncio.Event()))
            try:
                for data in batch[:-1]:
                    await raw.send(data)
                await looked_at.wait()  # what ends a connection also drops the commands that wait
                await raw.send(batch[-1])
                await raw.send(frame(b'{"type":"ping","t":"the end"}'))
            except ConnectionError:
                pass
            code, found = await reading
        codes[code] += 1
        kinds.update(answer.get("code", answer["type"]) for answer in found)
        assert "all but one" in [answer.get("t") for answer in found], (code, found[-3:])
        for answer in found:
            assert answer.get("code") != "internal", answer
        # A close frame of the client's own comes back with its own code.
        assert code in CODES or opcode == 0x88, code
    print(f"{sent} frames, seed {SEED}, ends {codes}, answers {dict(kinds)}")
    assert {"gift.result", "room.snapshot", "pong", "invalid"} <= kinds.keys()
    assert (await asyncio.to_thread(system.http, "GET", "/readyz"))[0] == 200
    report = await system.audit()
    assert report.passed, report.to_text()
