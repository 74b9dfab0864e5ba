"""A WebSocket client that sends bytes as the test wants them and keeps the frames as they came."""

import asyncio
import base64
import os
import socket
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import orjson

MASK = b"\x01\x02\x03\x04"


class RawFrame(NamedTuple):
    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def is_deflated(self) -> bool:
        return bool(self.first & 0x40)

    @property
    def code(self) -> int:
        """Of a close frame."""
        return int(struct.unpack("!H", self.payload[:2])[0])

    def json(self) -> dict[str, Any]:
        data = self.payload
        if self.is_deflated:
            data = zlib.decompressobj(wbits=-15).decompress(data + b"\x00\x00\xff\xff")
        return dict(orjson.loads(data))


def frame(payload: bytes, first: int = 0x81, *, masked: bool = True) -> bytes:
    """One client frame."""
    size = len(payload)
    bit = 0x80 if masked else 0
    head = struct.pack("!BB", first, bit | min(size, 126 if size < 65_536 else 127))
    if size >= 126:
        head = (
            struct.pack("!BBH", first, bit | 126, size)
            if size < 65_536
            else struct.pack("!BBQ", first, bit | 127, size)
        )
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def command(**fields: object) -> bytes:
    return frame(orjson.dumps(fields))


class RawSocket:
    """Use as `async with RawSocket(address) as raw`."""

    def __init__(self, address: str, *, extensions: str = "", receive_buffer_bytes: int = 0) -> None:
        host, _, port = address.partition(":")
        self._address = (host, int(port))
        self._extensions = extensions
        self._receive_buffer_bytes = receive_buffer_bytes
        self.headers: dict[str, str] = {}
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        if self._receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self._address)
        # A reader that holds little: what is not read stays in the server.
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=4096)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /v1/ws HTTP/1.1",
            f"Host: {self._address[0]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        if self._extensions:
            lines.append(f"Sec-WebSocket-Extensions: {self._extensions}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        status, *headers = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        assert " 101 " in status, status
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.writer.transport.get_write_buffer_size():
            self.writer.transport.abort()  # else it would wait for a server that reads no more
        self.writer.close()
        await asyncio.sleep(0)  # it closes in the next turn of the loop

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, timeout_s: float = 15.0) -> RawFrame:
        """The next frame that is no ping."""
        async with asyncio.timeout(timeout_s):
            while True:
                first, length = await self.reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
                payload = await self.reader.readexactly(length)
                if first & 0x0F != 9:
                    return RawFrame(first, payload)

    async def read_until(self, kind: str, timeout_s: float = 15.0) -> RawFrame:
        """The next text frame of a type."""
        while True:
            found = await self.read(timeout_s)
            assert found.opcode == 1, found
            if found.json()["type"] == kind:
                return found

    async def hello(self, token: str, rooms: Sequence[str] = ()) -> None:
        await self.send(command(type="hello", token=token))
        await self.read_until("welcome")
        for room in rooms:
            await self.send(command(type="room.join", room=room))
            await self.read_until("room.snapshot")
