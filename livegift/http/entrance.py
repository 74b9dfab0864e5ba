"""Where connections come in: what they send first decides whether they become a WebSocket at once or speak HTTP.

A connection that waits costs no parser yet, and neither does a plain handshake. Everything else goes to `GuardedHttp`.
"""

import asyncio
import time
from typing import Any, ClassVar, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from livegift.http.sockets import Guarded, GuardedHttp
from livegift.hub.handshake import Handshake
from livegift.hub.protocol import DirectProtocol
from livegift.hub.timer_wheel import TimerWheel
from livegift.runtime import metrics, refusals
from livegift.runtime.bounds import HTTP_HEADERS_TIMEOUT_S


class Entrance(Guarded, asyncio.Protocol):
    """A connection that has sent nothing yet. `entrance_class` makes subclasses that share a timer wheel."""

    http: ClassVar[type[GuardedHttp]]
    websocket: ClassVar[type[DirectProtocol] | None]
    path: ClassVar[bytes]

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> None:
        """Create a connection as uvicorn does."""
        super().__init__()
        self._made_of = (config, server_state, app_state)
        self._made_at = 0.0
        self.connections = server_state.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection if one more is allowed."""
        self.transport = cast("asyncio.Transport", transport)  # as uvloop's do not say that they are
        self.connections.add(self)  # type: ignore[arg-type] # uvicorn only asks them to shut down
        metrics.SOCKETS.set(len(self.connections))
        if len(self.connections) > self.sockets_max and not self.make_room():
            refusals.note("socket.refused", "descriptors", sockets_max=self.sockets_max)
            self.refuse(b"503 Service Unavailable", b"Retry-After: 5\r\n")
            return
        self._made_at = time.monotonic()
        self.expect("headers", HTTP_HEADERS_TIMEOUT_S, self.too_late)

    def data_received(self, data: bytes) -> None:
        """Hand the connection over to the protocol that `data` begins."""
        if self.transport.is_closing():
            return
        self.expect("", 0, None)
        self.connections.discard(self)
        websocket = self.websocket
        if websocket is not None:
            handshake = Handshake.parse(data, deflate=websocket.deflate)
            if handshake is not None and handshake.path == self.path:
                websocket.begin(handshake, self.transport, *self._made_of)
                return
        http = self.http(*self._made_of)
        http.connection_made(self.transport)
        waited_s = time.monotonic() - self._made_at
        http.expect("headers", max(0.0, HTTP_HEADERS_TIMEOUT_S - waited_s), http.too_late)
        self.transport.set_protocol(http)
        http.data_received(data)

    def eof_received(self) -> None:
        """Let the transport close: there was no request."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Handle the end of the socket."""
        self.expect("", 0, None)
        self.connections.discard(self)
        metrics.SOCKETS.set(len(self.connections))

    def shutdown(self) -> None:
        """Shut down with the server."""
        self.transport.close()


def entrance_class(
    timer_wheel: TimerWheel, most: int, path: str, websocket: type[DirectProtocol] | None
) -> type[asyncio.Protocol]:
    """Return the class for uvicorn's `http`, limited to `most` sockets, WebSockets included.

    Plain handshakes for `path` go straight to `websocket`, if there is one.
    """
    shared = {"timer_wheel": timer_wheel, "sockets_max": most, "waiting": {}}
    http = type("HttpProtocol", (GuardedHttp,), shared)
    return type("Entrance", (Entrance,), {**shared, "http": http, "websocket": websocket, "path": path.encode()})
