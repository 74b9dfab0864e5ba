"""A connection's outbound queue: ordered, bounded, never blocking the writer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from livegift.contract.errors import Close
from livegift.hub.broadcast import SocketWriter
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.protocol import DirectProtocol
from livegift.runtime.bounds import (
    CONNECTION_BUFFER_BYTES_MAX,
    CONNECTION_BUFFER_FRAMES_MAX,
    WRITE_BUFFER_BYTES_LOW,
    WRITE_BUFFER_BYTES_MAX,
)

Send = Callable[[str], Awaitable[None]]


class ClosedError(Exception):
    """The connection has to be closed with this code."""

    def __init__(self, code: Close, reason: str) -> None:
        """Take a code and a `reason` of at most 123 bytes (RFC 6455, 5.5)."""
        self.code = code
        self.reason = reason
        super().__init__(f"{code.value} {reason}")


class Outbound(Protocol):
    """The interface of a connection's outbound queue."""

    closing: ClosedError | None
    socket_writer: SocketWriter

    def write(self, payload: bytes) -> None:
        """Write the connection's own message. A connection that takes nothing for long is closed (4408)."""

    def write_shared(self, message: PreparedMessage) -> bool:
        """Write a shared message. Returns False, without writing, while the connection does not keep up."""

    def close(self, code: Close, reason: str) -> None:
        """Close after writing the queue (unless the queue is the reason). The first reason counts."""


TOO_SLOW = "this connection does not read fast enough"


class DirectOutbound:
    """An outbound queue that writes directly to the connection."""

    def __init__(self, direct: DirectProtocol) -> None:
        """Write to `direct`, the connection's protocol."""
        self._direct = direct
        self.socket_writer = direct.socket_writer
        self.closing: ClosedError | None = None

    def write(self, payload: bytes) -> None:
        """See `Outbound`."""
        self._direct.write(payload)
        if self._direct.is_full and self._direct.buffered_bytes > CONNECTION_BUFFER_BYTES_MAX:
            self.close(Close.TOO_SLOW, TOO_SLOW)

    def write_shared(self, message: PreparedMessage) -> bool:
        """See `Outbound`."""
        return self._direct.write_shared(message)

    def close(self, code: Close, reason: str) -> None:
        """See `Outbound`."""
        if self.closing is None:
            self.closing = ClosedError(code, reason)
            self._direct.close_now(int(code), reason)


class QueuedOutbound:
    """A queue of frames and the one task that writes them, for servers without the direct path."""

    def __init__(self, send: Send) -> None:
        """Write by `send`, which writes one text frame and waits while the transport's buffer is full."""
        self._send = send
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._is_full = False
        self.socket_writer = SocketWriter()  # never ready: everything goes through the queue
        self.on_writable: Callable[[], None] = lambda: None
        self.closing: ClosedError | None = None
        self.closed = asyncio.Event()

    def write(self, payload: bytes) -> None:
        """See `Outbound`."""
        self._queue(payload.decode())

    def write_shared(self, message: PreparedMessage) -> bool:
        """See `Outbound`."""
        if self._is_full:
            return False
        self._queue(message.text)
        return True

    def _queue(self, text: str) -> None:
        if self.closing is not None:
            return
        if self._bytes > CONNECTION_BUFFER_BYTES_MAX or len(self._frames) >= CONNECTION_BUFFER_FRAMES_MAX:
            self.close(Close.TOO_SLOW, TOO_SLOW)
            return
        self._frames.append(text)
        self._bytes += len(text)
        self._is_full = self._is_full or self._bytes > WRITE_BUFFER_BYTES_MAX
        self._wake.set()

    def close(self, code: Close, reason: str) -> None:
        """See `Outbound`."""
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
                if self._is_full and self._bytes < WRITE_BUFFER_BYTES_LOW:
                    self._is_full = False
                    self.on_writable()
            if self.closing is not None:
                self.closed.set()
                return
            self._wake.clear()
            await self._wake.wait()
