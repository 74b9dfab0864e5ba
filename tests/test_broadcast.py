"""Frames that go straight to sockets: in order with what goes another way, and never to anybody else."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest

from livegift.hub.broadcast import Broadcast, SocketWriter
from tests.conftest import BOTH_WAYS
from tests.hostile import unharmed
from tests.raw import RawSocket, command
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

both_ways = BOTH_WAYS
GIFTS_A_TURN = 10
GIFTS_BEHIND_MIN = 650  # what a socket's buffers hold on Linux, nearly
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def writer_of(sock: socket.socket, rests: list[bytes], *, deflates: bool = False) -> SocketWriter:
    writer = SocketWriter()
    writer.fd, writer.deflates = sock.fileno(), deflates
    writer.write_rest = rests.append
    return writer


def test_ready_sockets_get_it_and_paused_ones_must_be_asked() -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    rests: list[bytes] = []
    plain, deflating, paused, skipped = (writer_of(a, rests, deflates=i == 1) for i, (a, _) in enumerate(pairs))
    broadcast, other = Broadcast(), Broadcast()
    for writer in (plain, deflating, skipped):
        writer.resume()
    for writer in (plain, deflating, paused, skipped):
        broadcast.add(writer)
    other.add(plain)
    assert broadcast.write(b"plain", lambda: b"deflated", {skipped}) == [paused]
    paused.resume()
    plain.pause()
    assert broadcast.write(b" again", lambda: b" again", {skipped}) == other.write(b"", bytes) == [plain]
    broadcast.remove(paused)
    broadcast.remove(plain)
    assert broadcast.write(b"!", lambda: b"!") == []
    for a, _ in pairs:
        a.close()
    assert [b.recv(100) for _, b in pairs] == [b"plain", b"deflated again!", b" again", b"!"]
    for _, b in pairs:
        b.close()
    assert not rests


@pytest.mark.parametrize("shared", [True, False])
def test_what_a_socket_does_not_take_is_handed_on(*, shared: bool) -> None:
    ours, theirs = socket.socketpair()
    gone, peer = socket.socketpair()
    peer.close()
    ours.setblocking(False)
    rests: list[bytes] = []
    writer, lost = writer_of(ours, rests), writer_of(gone, rests)
    broadcast = Broadcast()
    for one in (writer, lost):
        broadcast.add(one)
        one.resume()
    frame = bytes(10_000_000)
    if shared:
        assert broadcast.write(frame, bytes) == []
    else:
        writer.send(frame)
        lost.send(frame)
    assert not writer.is_ready
    assert not lost.is_ready
    size = len(rests[0])
    assert 0 < size < len(frame), "some of it went"
    assert rests[1] == frame
    assert broadcast.write(b"later", bytes) == [writer, lost]
    writer.send(b"later, too")
    assert rests[2:] == [b"later, too"], "behind the rest"
    received = 0
    while received < len(frame) - size:
        received += len(theirs.recv(1_000_000))
    assert received + size == len(frame)
    for sock in (ours, theirs, gone):
        sock.close()


@both_ways
async def test_own_and_shared_frames_come_in_order_to_who_barely_keeps_up(system: System) -> None:
    """Its buffers are full to the brim, a little more each time until it is skipped."""
    room, turns = f"brim-{uuid4().hex[:8]}", 600
    system.open_room(room, "bob")
    await system.grant({"ann": 10_000_000}, ref=room)

    async def give(raw: RawSocket, ann: Viewer) -> None:
        for turn in range(turns):
            refs = [f"{room}-{turn}-{i}" for i in range(GIFTS_A_TURN)]
            for ref in refs:
                await ann.send(type="gift.send", ref=ref, room=room, gift_id="rose", message="m" * 150)
            await raw.send(command(type="ping", t=turn))
            await ann.wait_for(lambda refs=refs: refs[-1] in ann.results, "the result", 30)

    async with (
        RawSocket(system.address(), receive_buffer_bytes=4096) as raw,
        Viewer(system.address(), system.token("ann")) as ann,
    ):
        await raw.hello(system.token("eva"), [room])
        giving = asyncio.create_task(give(raw, ann))
        gifts = pongs = last_seq = skipped = 0
        behind = GIFTS_BEHIND_MIN
        while pongs < turns or gifts < turns * GIFTS_A_TURN:
            await wait_until(lambda: giving.done() or len(ann.results) >= gifts + behind, "it is behind", 30)  # noqa: B023
            got = (await raw.read(30)).json()
            if got["type"] == "pong":
                assert got["t"] == pongs
                pongs += 1
            elif got["type"] == "room.events":
                assert got["first_seq"] == last_seq + 1 or not last_seq
                behind += 30
            elif got["type"] == "room.snapshot":
                behind = GIFTS_BEHIND_MIN
                skipped += 1
            if "totals" in got:
                last_seq, gifts = got["seq"], got["totals"]["gifts"]
        await giving
    assert skipped, "it did not keep up at times"


@both_ways
async def test_nobody_gets_the_frames_of_who_had_the_number_before(system: System) -> None:
    """Connections end in every way while two rooms are busy, and new ones take their file descriptors at once."""
    rooms = [f"busy-{n}-{uuid4().hex[:8]}" for n in range(2)]
    for room in rooms:
        system.open_room(room, "bob")
    await system.grant({"ann": 10_000_000}, ref=rooms[0])
    numbers, over = count(), asyncio.Event()

    async def give(ann: Viewer) -> None:
        for n in count():
            if over.is_set():
                return
            for room in rooms:
                await ann.send(type="gift.send", ref=f"{room}-{n}", room=room, gift_id="rose", message=room)
            await asyncio.sleep(0.002)

    async def come_and_go(turns: int) -> None:
        for _ in range(turns):
            number = next(numbers)
            room = rooms[number % 2]
            async with RawSocket(system.address()) as raw:
                await raw.hello(system.token(f"viewer-{number}"), [room])
                await raw.send(command(type="ping", t=number))
                frames = [(await raw.read()).json() for _ in range(1 + number % 5)]
                frames.append((await raw.read_until("room.events")).json())
                assert {f["room"] for f in frames if "room" in f} == {room}
                assert {e["message"] for f in frames for e in f.get("events", ())} <= {room, None}
                assert [f["t"] for f in frames if f["type"] == "pong"] in ([], [number])
                if number % 3:
                    sock = raw.writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    raw.writer.transport.abort()

    async with Viewer(system.address(), system.token("ann")) as ann:
        giving = asyncio.create_task(give(ann))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(come_and_go(20))
        finally:
            over.set()
            await giving
