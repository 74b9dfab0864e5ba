"""A WebSocket client (RFC 6455) with as little work per frame as Python allows, so that the server is what is measured.

It never fragments, compresses or masks in earnest: the masking key is zero, which a server can't tell from any other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast

import orjson

FRAME_BYTES_MAX = 16 * 1024 * 1024
SMALL, MEDIUM = 126, 127  # payload lengths that say: the length follows in 2, in 8 bytes (RFC 6455, 5.2)
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
ZERO_MASK = b"\0\0\0\0"
ANSWER_TIMEOUT_S = 30.0
CONNECT_AT_ONCE = 50


C = TypeVar("C", bound="WebSocketClient")
T = TypeVar("T")


class ProtocolError(Exception):
    """What came is not what the benchmark relies on."""


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One final, masked frame."""
    size = len(payload)
    if size < SMALL:
        return bytes((0x80 | opcode, 0x80 | size)) + ZERO_MASK + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 0x80 | SMALL)) + size.to_bytes(2, "big") + ZERO_MASK + payload
    return bytes((0x80 | opcode, 0x80 | MEDIUM)) + size.to_bytes(8, "big") + ZERO_MASK + payload


class WebSocketClient(asyncio.Protocol):
    """One connection. Subclasses overwrite `on_text`, and `on_read` which follows all frames of one read."""

    path = "/v1/ws"

    def __init__(self) -> None:
        """To be used through `connect`."""
        loop = asyncio.get_running_loop()
        self.is_open: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[str] = loop.create_future()
        self._buffer = bytearray()
        self._upgraded = False
        self._waiting: tuple[str, asyncio.Future[dict[str, Any]]] | None = None
        self.transport: asyncio.Transport
        self.why = "closed without a close frame"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast("asyncio.Transport", transport)  # TCP; uvloop's is no subclass
        host, port = transport.get_extra_info("peername")[:2]
        self.transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: livegift.v1\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        why = f"{self.why} ({exc})" if exc else self.why
        if not self.closed.done():
            self.closed.set_result(why)
        waiting = [self.is_open] + ([self._waiting[1]] if self._waiting else [])
        for future in waiting:
            if not future.done():
                future.set_exception(ProtocolError(f"connection lost: {why}"))

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what came."""
        buffer = self._buffer
        buffer += data
        if not self._upgraded and not self._read_upgrade():
            return
        at = 0
        while len(buffer) - at >= 2:  # noqa: PLR2004 - a frame's first two bytes tell how much more there is
            first, size, head = buffer[at], buffer[at + 1], 2
            if size >= SMALL:
                head = 4 if size == SMALL else 10
                if len(buffer) - at < head:
                    break
                size = int.from_bytes(buffer[at + 2 : at + head], "big")
            if size > FRAME_BYTES_MAX:
                raise ProtocolError(f"frame of {size} bytes")
            end = at + head + size
            if len(buffer) < end:
                break
            self._on_frame(first, bytes(buffer[at + head : end]))
            at = end
        if at:
            del buffer[:at]
            self.on_read()

    def _read_upgrade(self) -> bool:
        head, found, _ = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self.is_open.set_exception(ProtocolError(f"no upgrade: {head[:200]!r}"))
            self.transport.abort()
            return False
        del self._buffer[: len(head) + 4]
        self._upgraded = True
        self.is_open.set_result(None)
        return True

    def _on_frame(self, first: int, payload: bytes) -> None:
        if first == 0x80 | TEXT:
            if self._waiting is not None:
                frame = orjson.loads(payload)
                kind, future = self._waiting
                if frame["type"] in (kind, "error") and not future.done():
                    self._waiting = None
                    future.set_result(frame)
            self.on_text(payload)
        elif first == 0x80 | PING:
            self.transport.write(client_frame(payload, PONG))
        elif first == 0x80 | CLOSE:
            self.why = f"close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}"
            self.transport.close()
        elif first != 0x80 | PONG:
            raise ProtocolError(f"frame with first byte {first:#x}: fragments and binary frames are not expected")

    def on_text(self, payload: bytes) -> None:
        """One text frame."""

    def on_read(self) -> None:
        """All frames that came together were handed over."""

    def send(self, **fields: object) -> None:
        """Write one command."""
        self.transport.write(client_frame(orjson.dumps(fields)))

    async def ask(self, answer: str, **fields: object) -> dict[str, Any]:
        """Write a command, return the frame of type `answer`. Raises ProtocolError for an `error` or none in time."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting = (answer, future)
        self.send(**fields)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                frame = await future
        except TimeoutError:
            raise ProtocolError(f"no {answer} within {ANSWER_TIMEOUT_S:g} s") from None
        if frame["type"] != answer:
            raise ProtocolError(f"expected {answer}, got {frame}")
        return frame

    async def close(self) -> None:
        """Say goodbye; does not wait for long."""
        if not self.transport.is_closing():
            self.transport.write(client_frame((1000).to_bytes(2, "big"), CLOSE))
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(self.closed)
        except TimeoutError:
            self.transport.abort()


async def connect(address: str, make: Callable[[], C]) -> C:
    """Open one connection to `address` (host:port). Raises ProtocolError or OSError."""
    host, _, port = address.rpartition(":")
    _, client = await asyncio.get_running_loop().create_connection(make, host, int(port))
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        await client.is_open
    return client


async def gather_some(work: Iterable[Awaitable[T]], at_once: int = CONNECT_AT_ONCE) -> list[T]:
    """Await all, at most `at_once` at a time: a server's backlog and time-outs are not what is measured here."""
    turns = asyncio.Semaphore(at_once)

    async def one(item: Awaitable[T]) -> T:
        async with turns:
            return await item

    return await asyncio.gather(*(one(item) for item in work))
