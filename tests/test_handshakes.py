"""Handshakes over the wire: whatever is odd about one is answered alike, with and without the direct path."""

import asyncio
from collections.abc import Iterator

import pytest

from livegift.runtime.bounds import HTTP_HEADERS_TIMEOUT_S
from tests.conftest import BOTH_WAYS
from tests.hostile import unharmed
from tests.hub.test_handshake import ODD, PLAIN, PLAIN_TOO, request
from tests.system import System

pytestmark = BOTH_WAYS
WAITED_FOR = {"half of it", "nothing"}  # until the headers' deadline
# What h11, uvicorn and `websockets` make of the others: not always what one would expect.
ANSWERS = dict.fromkeys(ODD, 400) | {
    "without Upgrade": 404,
    "without Connection": 404,
    "Upgrade twice": 426,
    "Connection twice": 101,
    "another method": 405,
    "an older version": 101,
    "an absolute target": 403,
    "an escaped path": 101,
    "a fragment in the path": 403,
    "another protocol": 404,
    "two protocols": 404,
    "a connection to be closed": 404,
    "a promised body": 101,
    "a wait for a word": 101,
    "something behind it": 101,
    "two requests": 101,
    "a folded line": 101,
    "bare line feeds": 101,
    "not ASCII": 101,
    "many headers": 101,
    "long": 101,
    "HTTP": 200,
}


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


async def status_of(system: System, data: bytes) -> int:
    host, port = system.address().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        async with asyncio.timeout(HTTP_HEADERS_TIMEOUT_S):
            line = await reader.readline()
        return int(line.split()[1]) if line else 0
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_odd_handshakes_are_answered_alike(system: System) -> None:
    found = {name: await status_of(system, data) for name, data in ODD.items() if name not in WAITED_FOR}
    expected = {name: ANSWERS[name] for name in found}
    if not system.settings.fast_path:
        expected["extensions that can't be read"] = 101  # as there are none
    assert found == expected


async def test_plain_ones_are_accepted_in_one_piece_and_in_two(system: System) -> None:
    host, port = system.address().split(":")
    for name, data in PLAIN_TOO.items():
        assert await status_of(system, data) == 101, name
    reader, writer = await asyncio.open_connection(host, int(port))
    data = request(PLAIN)
    for piece in (data[:30], data[30:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    assert b" 101 " in await reader.readline()
    writer.transport.abort()
    await asyncio.sleep(0)
