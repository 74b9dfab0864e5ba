"""What waits to be written to one connection: bounded, in order, never blocking whoever writes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from livegift.errors import Close
from livegift.limits import CONNECTION_BUFFER_BYTES_MAX, CONNECTION_BUFFER_FRAMES_MAX

Send = Callable[[str], Awaitable[None]]


class ClosedError(Exception):
    """The connection is to be closed with this code."""

    def __init__(self, code: Close, reason: str) -> None:
        """`reason` is at most 123 bytes (RFC 6455, 5.5)."""
        self.code = code
        self.reason = reason
        super().__init__(f"{code.value} {reason}")


class Outlet:
    """A queue of frames and the one task that writes them. A viewer who does not read is cut off, not waited for."""

    def __init__(self, send: Send) -> None:
        """`send` writes one text frame and waits while the transport's buffer is full."""
        self._send = send
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.closing: ClosedError | None = None
        self.closed = asyncio.Event()

    def write(self, text: str) -> None:
        """Queue one frame; after `close` it is dropped."""
        if self.closing is not None:
            return
        if self._bytes > CONNECTION_BUFFER_BYTES_MAX or len(self._frames) >= CONNECTION_BUFFER_FRAMES_MAX:
            self.close(Close.TOO_SLOW, "this connection does not read fast enough")
            return
        self._frames.append(text)
        self._bytes += len(text)
        self._wake.set()

    def close(self, code: Close, reason: str) -> None:
        """Write what is queued (unless that is what it is closed for), then end. The first reason counts."""
        if self.closing is None:
            self.closing = ClosedError(code, reason)
            if code is Close.TOO_SLOW:
                self._frames.clear()
                self.closed.set()
            self._wake.set()

    async def run(self) -> None:
        """Write until closed."""
        while True:
            while self._frames:
                text = self._frames.popleft()
                self._bytes -= len(text)
                await self._send(text)
            if self.closing is not None:
                self.closed.set()
                return
            self._wake.clear()
            await self._wake.wait()
