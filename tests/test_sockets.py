"""Connections that ask for nothing, or for half of it: they end in time, and take no one else's place."""

import asyncio
from collections.abc import Iterator

import pytest

from livegift.http import sockets
from livegift.runtime.bounds import (
    HTTP_BODY_TIMEOUT_S,
    HTTP_HEADERS_TIMEOUT_S,
    HTTP_READ_BYTES_MAX,
    HTTP_WASTED_BYTES_MAX,
)
from tests.hostile import unharmed
from tests.system import System


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


async def until_closed(system: System, data: bytes) -> bytes:
    """Send that and nothing more; what came until the server closed."""
    host, port = system.address().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        async with asyncio.timeout(HTTP_BODY_TIMEOUT_S + HTTP_HEADERS_TIMEOUT_S + 20):
            return await reader.read()
    finally:
        writer.close()
        await asyncio.sleep(0)


HALVES = {
    "nothing": b"",
    "half a line": b"GET /v1/gi",
    "half the headers": b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\nX-A: ",
    "half the headers of a second request": b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/gifts HT",
    "half a body": b"POST /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 50\r\n\r\n{",
    "half a body that nobody reads": b"POST /v1/gifts HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
    "a chunk without an end": b"POST /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a handshake": b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
}


async def test_what_is_not_http_is_counted_and_fills_no_log(system: System) -> None:
    for _ in range(20):
        assert b" 400 " in await until_closed(system, b"hello\r\n\r\n")
    lines = [line for line in system.log("web 1").splitlines() if "not HTTP" in line or "Invalid HTTP" in line]
    assert 1 <= len(lines) < 20


@pytest.mark.slow
async def test_half_a_request_ends_in_time(system: System) -> None:
    token = system.token("bob", "creator").encode()
    sent = [data % token if b"%s" in data else data for data in HALVES.values()]
    answers = dict(zip(HALVES, await asyncio.gather(*(until_closed(system, data) for data in sent)), strict=True))
    late = {name for name, answer in answers.items() if answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"408")}
    # These had an answer already; they are closed without another.
    assert late >= set(HALVES) - {"half a body that nobody reads", "half the headers of a second request"}, answers
    assert "no headers in time" in system.log("web 1")
    assert "no body in time" in system.log("web 1")


_HANDSHAKE = (
    b"/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET " + _HANDSHAKE + b"Content-Length: 2\r\n\r\n{}",
        b"GET " + _HANDSHAKE + b"Content-Length: 2\r\n\r\n",
        b"GET " + _HANDSHAKE + b"Transfer-Encoding: chunked\r\n\r\n",
        b"POST " + _HANDSHAKE + b"\r\n",
        b"GET " + _HANDSHAKE + b"X: y\r\n" * 200 + b"\r\n",
        b"GET " + _HANDSHAKE + b"X: " + b"y" * 9_000 + b"\r\n\r\n",
    ],
    ids=["body", "promised body", "chunks", "method", "many headers", "long header"],
)
async def test_an_upgrade_that_is_no_handshake_is_refused_at_once(system: System, request_bytes: bytes) -> None:
    """The library for WebSockets says nothing to it and waits, for as long as the other side likes."""
    async with asyncio.timeout(HTTP_HEADERS_TIMEOUT_S):
        assert (await until_closed(system, request_bytes)).startswith(b"HTTP/1.1 4")


async def test_a_body_that_goes_on_after_its_answer_has_an_end(system: System) -> None:
    head = b"POST /v1/gifts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    host, port = system.address().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 405")

        async def go_on() -> None:
            sent_bytes = 0
            while True:
                writer.write(chunk)
                await writer.drain()
                sent_bytes += len(chunk)
                # The buffers of both kernels take megabytes; beyond a few limits' worth the server has its turn first.
                await asyncio.sleep(0 if sent_bytes < 4 * HTTP_WASTED_BYTES_MAX else 0.01)

        with pytest.raises(ConnectionError):
            async with asyncio.timeout(30):
                await go_on()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_a_body_larger_than_one_turn_takes_arrives_whole(system: System) -> None:
    title = "x" * 100
    body = b'{"title":"' + title.encode() + b'",' + b" " * (5 * HTTP_READ_BYTES_MAX) + b'"id":"large"}'
    status, room = system.http("POST", "/v1/rooms", body, token=system.token("bob", "creator"))
    assert (status in (200, 201), room["title"]) == (True, title)


async def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(system: System) -> None:
    host, port = system.address().split(":")
    before = len(system.log("web 1"))
    for _ in range(5):
        _, writer = await asyncio.open_connection(host, int(port))
        head = HALVES["half a body"] % system.token("bob", "creator").encode()
        writer.write(head)
        await writer.drain()
        writer.transport.abort()
        await asyncio.sleep(0)
    assert (await asyncio.to_thread(system.http, "GET", "/v1/gifts"))[0] == 200
    assert "api.failed" not in system.log("web 1")[before:]


# --- Few descriptors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "most", "expected"), [(20_000, 1_000, 900), (0, 1_000, 900), (50, 1_000, 50), (20_000, 1, 1)]
)
def test_there_are_fewer_websockets_than_sockets(wanted: int, most: int, expected: int) -> None:
    assert sockets.connections_max(wanted, most) == expected
