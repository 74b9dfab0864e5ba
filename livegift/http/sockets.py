"""The sockets of one web process: as many as its descriptors allow, and none that only waits.

uvicorn has no deadline for incomplete requests, and its connections end only when the client's do. Here a request's
headers and body have to come in time, and its response has to be read in time. When no more sockets are allowed, the
one that has waited longest without a request is closed; if there is none, the new one is refused.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Any, ClassVar

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from livegift.hub.timer_wheel import Deadline, TimerWheel
from livegift.runtime import metrics, refusals
from livegift.runtime.bounds import (
    CLOSE_LINGER_S,
    FILES_RESERVED,
    FILES_WANTED,
    HTTP_ANSWER_TIMEOUT_S,
    HTTP_BODY_TIMEOUT_S,
    HTTP_HEADERS_TIMEOUT_S,
    HTTP_KEEP_ALIVE_S,
    HTTP_READ_BYTES_MAX,
    HTTP_WASTED_BYTES_MAX,
    SOCKETS_FOR_HTTP_SHARE,
)

log = structlog.get_logger()


def sockets_max() -> int:
    """Raise the descriptor limit as far as the system allows; return how many of them sockets may take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(soft - FILES_RESERVED, soft // 2)


def connections_max(wanted: int, sockets: int) -> int:
    """Return how many WebSockets there may be: at most `wanted` (0: no limit), and fewer than `sockets`."""
    most = max(1, int(sockets * (1 - SOCKETS_FOR_HTTP_SHARE)))
    if wanted > most:
        log.warning("web.few_descriptors", sockets_max=sockets, connections_max=most, wanted=wanted)
    return min(wanted, most) if wanted else most


class Guarded:
    """A connection that is waited for, for a limited time."""

    timer_wheel: ClassVar[TimerWheel]
    sockets_max: ClassVar[int]
    waiting: ClassVar["dict[Guarded, None]"]  # without a request, the longest waiting first
    transport: asyncio.Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Wait for nothing yet."""
        super().__init__(*args, **kwargs)
        self._deadline: Deadline | None = None
        self._awaited = ""

    @property
    def address(self) -> str:
        """Return the client's address, as TCP knows it."""
        client = get_remote_addr(self.transport)
        return client[0] if client else ""

    def expect(self, what: str, within_s: float, otherwise: Callable[[], None] | None) -> None:
        """Set a deadline for `what`, after which `otherwise` is called."""
        if what != "request":
            self.waiting.pop(self, None)
        if what == "headers":
            self.waiting[self] = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited = what
        self._deadline = None if otherwise is None else self.timer_wheel.after(within_s, otherwise)

    def too_late(self) -> None:
        """Close a connection with half a request, or none at all."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        refusals.note("socket.closed", f"no {self._awaited} in time", address=self.address)
        self.refuse(b"408 Request Timeout")

    def make_room(self) -> bool:
        """Close the connection that has waited longest without a request. Returns False when there is none."""
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            return False
        refusals.note("socket.closed", "room for another", address=oldest.address)
        oldest.expect("", 0, None)
        oldest.transport.abort()
        return True

    def refuse(self, status: bytes, headers: bytes = b"") -> None:
        """Answer without a body, and close."""
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\n" + headers + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self.transport.close()
        self.expect("end", CLOSE_LINGER_S, self.transport.abort)


class GuardedHttp(Guarded, H11Protocol):
    """A connection that has begun to send, until it ends or becomes a WebSocket.

    `entrance_class` makes subclasses that share a timer wheel.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create a connection as uvicorn does."""
        super().__init__(*args, **kwargs)
        self._rest = b""
        self._wasted_bytes = 0

    # --- What uvicorn calls -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse a limited number of bytes in one turn of the loop."""
        if self._rest or len(data) > HTTP_READ_BYTES_MAX:
            if not self._rest:
                self.transport.pause_reading()
                self.loop.call_soon(self._next_turn)
            self._rest += data
            return
        self._take(data)

    def on_response_complete(self) -> None:
        """Wait for the client, which has to read the response, then send another request or leave."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.expect("end", CLOSE_LINGER_S, self.transport.abort)
        elif self.conn.their_state is h11.SEND_BODY:
            pass  # a response before the body's end, which has a deadline and a size limit already
        elif self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE:
            self.waiting[self] = None
            self.expect("request", HTTP_KEEP_ALIVE_S + CLOSE_LINGER_S, self.transport.abort)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Pass the connection to the WebSocket protocol, unless that ignores the request.

        `websockets` answers no request that has a body, or headers that are too many or too long: it waits for the
        client to go.
        """
        self.expect("", 0, None)
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketsSansIOProtocol) and not protocol.handshake_initiated:
            refusals.note("socket.closed", "not a handshake", address=self.address)
            self.refuse(b"400 Bad Request")

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has headers that are too long."""
        refusals.note("socket.closed", "not HTTP", address=self.address)
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the socket."""
        self.expect("", 0, None)
        self._rest = b""
        super().connection_lost(exc)
        metrics.SOCKETS.set(len(self.connections))

    # --- Reading ------------------------------------------------------------------------------------------------------

    def _next_turn(self) -> None:
        if self.transport.is_closing() or not self._rest:
            self._rest = b""
            return
        piece, self._rest = self._rest[:HTTP_READ_BYTES_MAX], self._rest[HTTP_READ_BYTES_MAX:]
        self._take(piece)
        if self.transport.is_closing():
            return
        if self.transport.get_protocol() is not self:
            self.transport.resume_reading()  # a client that upgrades sends nothing more before the response
        elif self._rest:
            self.loop.call_soon(self._next_turn)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            if self._awaited != "body":
                self.expect("body", HTTP_BODY_TIMEOUT_S, self.too_late)
            self._count_wasted(len(data))
        elif theirs is h11.IDLE:
            if self._awaited != "headers":
                self.expect("headers", HTTP_HEADERS_TIMEOUT_S, self.too_late)
        elif self._awaited in ("headers", "request", "body"):
            self.expect("answer", HTTP_ANSWER_TIMEOUT_S, self.transport.abort)

    def _count_wasted(self, size: int) -> None:
        """Limit how long a body is read after its response is written, which is done so that the response arrives."""
        if self.cycle.response_complete:
            self._wasted_bytes += size
            if self._wasted_bytes > HTTP_WASTED_BYTES_MAX:
                refusals.note("socket.closed", "body goes on", address=self.address)
                self.transport.abort()

    def too_late(self) -> None:
        """Close it; without a word where a response has begun already."""
        if self._awaited == "body" and self.cycle.response_started and not self.cycle.response_complete:
            refusals.note("socket.closed", "no body in time", address=self.address)
            self.transport.abort()
        else:
            super().too_late()
