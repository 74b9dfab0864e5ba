"""The hub's way to the wire: frames as they come and go, byte by byte, on the direct way and on plain ASGI."""

import asyncio
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.hub.framing import frame_end
from livegift.hub.prepared_message import PreparedMessage, text_frame
from livegift.hub.rates import TokenBucket
from livegift.hub.timer_wheel import TimerWheel
from livegift.runtime.bounds import COMPRESS_BYTES_MIN
from tests.conftest import BOTH_WAYS
from tests.hostile import unharmed
from tests.raw import RawSocket, command, frame
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

DEFLATE = "permessage-deflate; client_max_window_bits"
both_ways = BOTH_WAYS


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


# --- Pure ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300) | st.integers(65_000, 70_000).map(bytes), st.booleans(), st.binary(max_size=20))
def test_where_a_frame_ends(payload: bytes, masked: bool, more: bytes) -> None:  # noqa: FBT001
    data = frame(payload, masked=masked)
    assert frame_end(data + more, 0) == len(data)
    assert frame_end(more + data, len(more)) == len(more) + len(data)
    header = len(data) - len(payload)
    assert all(frame_end(data[:n], 0) is None for n in range(header))
    assert frame_end(data[:header], 0) == len(data)


@given(st.binary(max_size=5_000))
def test_all_forms_of_a_message_say_the_same(payload: bytes) -> None:
    message = PreparedMessage(payload)
    assert message.plain == text_frame(payload)
    assert message.plain == frame(payload, masked=False)
    if len(payload) < COMPRESS_BYTES_MIN:
        assert message.deflated == message.plain
    else:
        end = frame_end(message.deflated, 0)
        assert end == len(message.deflated)
        body = message.deflated[2 if message.deflated[1] < 126 else 4 :]
        assert zlib.decompressobj(wbits=-15).decompress(body + b"\x00\x00\xff\xff") == payload


def test_the_timer_wheel_runs_what_is_due_once_and_in_time() -> None:
    timer_wheel = TimerWheel(0.25)
    now = timer_wheel._turned
    done: list[str] = []
    timer_wheel.after(0, lambda: done.append("soon"))
    timer_wheel.after(100, lambda: done.append("later"))
    cancelled = timer_wheel.after(0, lambda: done.append("cancelled"))
    cancelled.cancel()

    def broken() -> None:
        raise ValueError("a mistake of one")

    timer_wheel.after(1, broken)
    timer_wheel.after(1, lambda: done.append("after the mistake"))
    timer_wheel.turn(now + 1)
    timer_wheel.turn(now + 2)
    assert done == ["soon"]
    timer_wheel.turn(now + 50)  # the process was stopped for a while
    assert done == ["soon", "after the mistake"]
    timer_wheel.turn(now + 500)
    timer_wheel.turn(now + 500)
    assert done == ["soon", "after the mistake", "later"]


def test_a_token_bucket_refills() -> None:
    now = 0.0
    bucket = TokenBucket(10, clock=lambda: now)
    assert [bucket.take() for _ in range(20)] == [0] * 20
    assert bucket.take() == 100
    now = 0.35
    assert [bucket.take() == 0 for _ in range(5)] == [True, True, True, False, False]
    assert TokenBucket(0).take() == 0


# --- Coming in -------------------------------------------------------------------------------------------------------


@both_ways
async def test_frames_in_any_pieces(system: System) -> None:
    token = system.token("ann")
    pings = [command(type="ping", t=n) for n in range(40)]
    async with RawSocket(system.address()) as raw:
        for byte in command(type="hello", token=token) + pings[0]:
            await raw.send(bytes([byte]))
        await raw.read_until("welcome")
        assert (await raw.read_until("pong")).json()["t"] == 0
        whole = b"".join(pings)
        cuts = [0, 1, 3, 7, len(whole) // 2, len(whole) - 1, len(whole)]
        for start, end in pairwise(cuts):
            await raw.send(whole[start:end])
            await asyncio.sleep(0)  # in pieces of their own, mostly
        assert [(await raw.read_until("pong")).json()["t"] for _ in pings] == list(range(40))


@both_ways
async def test_fragments_with_a_control_frame_between(system: System) -> None:
    text = b'{"type":"ping","t":"in three"}'
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"))
        await raw.send(frame(text[:5], 0x01) + frame(b"hi", 0x89) + frame(text[5:9], 0x00) + frame(text[9:], 0x80))
        pong = await raw.read()
        assert (pong.opcode, pong.payload) == (10, b"hi")
        assert (await raw.read()).json()["t"] == "in three"
        await raw.send(command(type="ping", t="after"))
        assert (await raw.read()).json()["t"] == "after"


@both_ways
@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(b"{}", masked=False), 1002, id="not masked"),
        pytest.param(frame(b"{}", 0xC1), 1002, id="compressed without an agreement"),
        pytest.param(frame(b"{}", 0x83), 1002, id="no such opcode"),
        pytest.param(frame(b"a", 0x01) + frame(b"{}"), 1002, id="a new message in the middle of one"),
        pytest.param(frame(b"\xff\xfe"), 1007, id="no UTF-8"),
        pytest.param(frame(bytes(20_000))[:100], 1009, id="too large, before all of it has come"),
        pytest.param(frame(b"[]"), 4400, id="no object"),
    ],
)
async def test_what_is_against_the_rules_ends_the_connection(system: System, data: bytes, code: int) -> None:
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"))
        await raw.send(data + command(type="ping", t="too late"))
        closed = await raw.read()
        assert (closed.opcode, closed.code) == (8, code)


async def test_compressed_commands_and_bombs(system: System) -> None:
    async with RawSocket(system.address(), extensions=DEFLATE) as raw:
        agreed = raw.headers["sec-websocket-extensions"]
        assert "server_no_context_takeover" in agreed
        assert "client_no_context_takeover" in agreed
        await raw.hello(system.token("ann"))
        await raw.send(frame(deflated(b'{"type":"ping","t":"small"}'), 0xC1) + command(type="ping", t="plain"))
        assert [(await raw.read()).json()["t"] for _ in range(2)] == ["small", "plain"]
        bomb = deflated(b'{"type":"ping","t":"' + b"0" * 10_000_000 + b'"}')
        assert len(bomb) < 16_000
        await raw.send(frame(bomb, 0xC1))
        closed = await raw.read()
        assert (closed.opcode, closed.code) == (8, 1009)


# --- Going out -------------------------------------------------------------------------------------------------------


async def test_one_compressed_frame_serves_all_who_take_it(system: System) -> None:
    room = f"deflate-{uuid4().hex[:8]}"
    system.open_room(room, "bob")
    await system.grant({"ann": 10_000}, ref=room)
    async with (
        RawSocket(system.address(), extensions=DEFLATE) as one,
        RawSocket(system.address(), extensions=DEFLATE) as two,
        RawSocket(system.address(), extensions="permessage-deflate; server_max_window_bits=10") as small,
        RawSocket(system.address()) as plain,
        Viewer(system.address(), system.token("ann")) as ann,
    ):
        readers = (one, two, small, plain)
        for i, raw in enumerate(readers):
            await raw.hello(system.token(f"viewer-{i}"), [room])
        for n in range(30):
            await ann.send(type="gift.send", ref=f"{room}-{n}", room=room, gift_id="rose", message="m" * 100)

        async def events(raw: RawSocket) -> tuple[list[Any], list[bytes], bool]:
            found: list[Any] = []
            frames, any_deflated = [], False
            while len([e for e in found if e["count"]]) < 30:
                got = await raw.read_until("room.events")
                any_deflated = any_deflated or got.is_deflated
                frames.append(bytes([got.first]) + got.payload)
                found += got.json()["events"]
            return found, frames, any_deflated

        first, second, third, fourth = [await events(raw) for raw in readers]
    assert first == second, "the very same bytes"
    assert first[2], "compressed"
    assert (third[0], fourth[0]) == (first[0], first[0])
    assert not third[2], "who has a small window gets it as it is"
    assert not fourth[2]


@both_ways
async def test_who_does_not_read_is_skipped_and_gets_what_was_missed(system: System) -> None:
    room, sends = f"slow-{uuid4().hex[:8]}", 4_000
    system.open_room(room, "bob")
    await system.grant({"ann": 10_000_000}, ref=room)
    async with (
        RawSocket(system.address(), receive_buffer_bytes=4096) as slow,
        Viewer(system.address(), system.token("eva")) as quick,
        Viewer(system.address(), system.token("ann")) as ann,
    ):
        await slow.hello(system.token("sloth"), [room])
        await quick.join(room)
        for n in range(sends):
            await ann.send(type="gift.send", ref=f"{room}-{n}", room=room, gift_id="balloon", message="m" * 150)
            if n % 200 == 199:
                await ann.wait_for(lambda n=n: f"{room}-{n}" in ann.results, "the result", 30)
        await quick.wait_for(lambda: len(quick.events(room)) >= sends, "all events", 30)
        assert quick.gap(room) is None
        # Now the slow one reads: first what was on its way, then where the room is, and what comes after it.
        snapshots, gifts = 0, 0
        last: int | None = None
        while gifts < sends:
            got = (await slow.read(30)).json()
            if got["type"] not in ("room.snapshot", "room.events"):
                continue
            if got["type"] == "room.snapshot":
                snapshots += 1
            elif last is not None:
                assert got["first_seq"] == last + 1, "what is written is without a gap"
            last, gifts = got["seq"], got["totals"]["gifts"]
        assert snapshots >= 1, "it was skipped"
        assert gifts == sends
        assert (await ann.gift(room, "balloon"))["status"] == "accepted"
        assert (await slow.read_until("room.events")).json()["totals"]["gifts"] == sends + 1


async def test_who_does_not_read_is_not_read(system: System) -> None:
    """Answers wait for their reader in the reader's own commands, not in the server's memory."""
    count, large = 400, "x" * 16_000
    async with RawSocket(system.address(), receive_buffer_bytes=4096) as raw:
        await raw.hello(system.token("ann"))
        raw.writer.write(b"".join(command(type="ping", t=[n, large]) for n in range(count)))
        waiting: list[int] = []

        def stalled() -> bool:
            waiting.append(raw.writer.transport.get_write_buffer_size())
            return len(waiting) > 25 and len(set(waiting[-25:])) == 1

        await wait_until(stalled, "nothing more is read", 30)
        # Six times what a connection may have waiting for it; it is not closed for that.
        for n in range(count):
            assert (await raw.read_until("pong", 30)).json()["t"][0] == n
