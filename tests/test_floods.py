"""One connection that sends all it can: it is closed, and nobody else notices."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from livegift.composition import make_settings
from livegift.dev.embedded import RedisServer
from livegift.runtime.bounds import (
    FRAGMENTS_PER_MESSAGE_MAX,
    FRAMES_PER_TURN_MAX,
    HELLOS_BURST_MAX,
    JOINS_BURST_MAX,
    ODD_FRAMES_BURST_MAX,
)
from tests.conftest import COMMON, emptied, migrated, new_database
from tests.hostile import unharmed
from tests.raw import RawFrame, RawSocket, command, frame
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

CHUNK_BYTES = 32 * 1024
FLOOD_BYTES_MAX = 32 * 1024 * 1024
COMMANDS_PER_S_MAX = 50
LARGE = "x" * 16_000


@pytest.fixture(scope="module")
def shared_system(
    redis_server: RedisServer, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """With the rates that operators get when they set nothing."""
    with new_database(template_database) as url:
        settings = make_settings(redis_url=emptied(redis_server), database_url=url, **COMMON)
        settings = migrated(msgspec.structs.replace(settings, commands_per_s_max=COMMANDS_PER_S_MAX))
        with System(settings, tmp_path_factory.mktemp("limited") / "logs") as running:
            yield running.start()


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


async def end_of(raw: RawSocket) -> RawFrame:
    """The close frame, after whatever came before it."""
    while (got := await raw.read()).opcode != 8:
        pass
    return got


async def flood(raw: RawSocket, piece: bytes) -> None:
    """Send `piece` again and again until the server has had enough."""
    chunk = piece * max(1, CHUNK_BYTES // len(piece))
    try:
        for _ in range(FLOOD_BYTES_MAX // len(chunk)):
            await raw.send(chunk)
    except ConnectionError:
        return


# --- Everything has a budget ------------------------------------------------------------------------------------------

FLOODS = {
    "empty pings": frame(b"", 0x89),
    "pings": frame(b"p" * 125, 0x89),
    "pongs": frame(b"", 0x8A),
    "fragments": frame(b"", 0x00),
    "JSON pings": command(type="ping", t=1),
    "large JSON pings": command(type="ping", t=LARGE),
    "unknown commands": command(type="nothing"),
    "hellos that are none": command(type="hello"),
}


@pytest.mark.parametrize("hello", [False, True], ids=["before hello", "after hello"])
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_ends_its_connection_and_no_other(system: System, kind: str, *, hello: bool) -> None:
    await system.grant({"ann": 100}, ref=f"{kind}-{hello}")
    codes = {4429}
    if kind == "fragments":
        codes.add(1009)  # the message has too many pieces before there are too many a second
    if kind == "unknown commands" and not hello:
        codes.add(4401)  # one is enough
    async with Viewer(system.address(), system.token("ann")) as ann, RawSocket(system.address()) as raw:
        if hello:
            await raw.hello(system.token("flooder"))
        if kind == "fragments":
            await raw.send(frame(b"", 0x01))
        flooding = asyncio.create_task(flood(raw, FLOODS[kind]))
        try:
            closed = await end_of(raw)
            assert closed.code in codes
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        assert (await ann.gift("r1", "rose"))["status"] == "accepted"


async def test_bytes_that_come_one_by_one_have_an_end(system: System) -> None:
    """A frame of the largest size, a byte in each segment."""
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("flooder"))

        async def dribble() -> None:
            for byte in frame(b"x" * 16_000):
                await raw.send(bytes([byte]))
                await asyncio.sleep(0)

        dribbling = asyncio.create_task(dribble())
        closed = await end_of(raw)
        assert closed.code == 4429
        dribbling.cancel()
        await asyncio.gather(dribbling, return_exceptions=True)


async def test_what_clients_send_is_within_the_budget(system: System) -> None:
    """A burst of twice the rate, compressed or not, a few pings and a message in pieces."""
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"), ["r1"])
        text = b'{"type":"ping","t":"pieces"}'
        await raw.send(frame(text[:9], 0x01) + frame(b"still there?", 0x89) + frame(text[9:], 0x80))
        for n in range(2 * COMMANDS_PER_S_MAX - 10):
            await raw.send(command(type="ping", t=n))
        assert (await raw.read()).opcode == 10
        assert (await raw.read()).json()["t"] == "pieces"
        for n in range(2 * COMMANDS_PER_S_MAX - 10):
            assert (await raw.read_until("pong")).json()["t"] == n


async def test_a_message_comes_in_so_many_pieces_at_most(system: System) -> None:
    assert FRAGMENTS_PER_MESSAGE_MAX < ODD_FRAMES_BURST_MAX
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"))
        await raw.send(frame(b"", 0x01) + frame(b"", 0x00) * FRAGMENTS_PER_MESSAGE_MAX)
        assert (await end_of(raw)).code == 1009
    assert '"reason": "too_big"' in system.log("web 1")


async def test_of_many_pings_the_newest_is_answered(system: System) -> None:
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"))
        for first in range(0, 200, 50):
            await raw.send(b"".join(frame(b"%d" % n, 0x89) for n in range(first, first + 50)))
        got = [await raw.read()]
        while got[-1].payload != b"199":
            got.append(await raw.read())
        assert {pong.opcode for pong in got} == {10}
        assert len(got) < 200 // 2
        await raw.send(command(type="ping", t="after"))
        assert (await raw.read()).json()["t"] == "after"


async def test_more_than_a_turn_takes_is_handled_in_order(system: System) -> None:
    count = FRAMES_PER_TURN_MAX + 20
    async with RawSocket(system.address()) as raw:
        await raw.hello(system.token("ann"))
        await raw.send(b"".join(command(type="ping", t=n) for n in range(count)))
        assert [(await raw.read_until("pong")).json()["t"] for _ in range(count)] == list(range(count))


# --- Commands that cost more than they say ----------------------------------------------------------------------------


async def test_hellos_have_a_rate(system: System) -> None:
    async with Viewer(system.address(), None) as viewer:
        for _ in range(HELLOS_BURST_MAX + 2):
            await viewer.send(type="hello", token=system.token("ann"))
        limited = await viewer.expect("error", code="rate_limited")
        assert limited["retry_after_ms"] > 0
        assert len([f for f in viewer.frames if f["type"] == "welcome"]) == HELLOS_BURST_MAX


async def test_joins_have_a_rate(system: System) -> None:
    async with Viewer(system.address(), system.token("ann")) as viewer:
        for _ in range(JOINS_BURST_MAX + 10):
            await viewer.send(type="room.join", room="r1")
        limited = await viewer.expect("error", code="rate_limited")
        assert limited["retry_after_ms"] > 0
        assert limited["room"] == "r1", "whoever joins several rooms learns which one to ask for again"


async def test_commands_after_the_tokens_end_have_a_rate(system: System) -> None:
    token = system.token("ann", exp=int(time.time()) + 2)
    async with Viewer(system.address(), token) as viewer:
        await viewer.expect("error", code="token_expired")
        for n in range(2 * COMMANDS_PER_S_MAX + 60):
            await viewer.send(type="gift.send", ref=f"late-{n}", room="r1", gift_id="rose")
        limited = await viewer.expect("error", code="rate_limited")
        assert limited["retry_after_ms"] > 0
        assert limited["outcome"] == "unknown"


# --- Who does not go -------------------------------------------------------------------------------


def open_files(system: System, name: str = "web 1") -> int:
    return len(list(Path(f"/proc/{system.processes[name].pid}/fd").iterdir()))


@pytest.mark.slow
async def test_a_closed_connection_is_gone_whatever_its_peer_does(system: System) -> None:
    before = open_files(system)
    async with RawSocket(system.address()) as silent, RawSocket(system.address()) as loud:
        await silent.send(frame(b"[]"))
        assert (await end_of(silent)).code == 4400
        flooding = asyncio.create_task(flood(loud, FLOODS["empty pings"]))
        assert (await end_of(loud)).code == 4429
        # Neither closes its side.
        await wait_until(lambda: open_files(system) <= before, "both sockets are gone", 30)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
