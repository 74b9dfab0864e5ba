"""How a connection on the direct path begins: by a plain handshake without uvicorn, or by uvicorn's own.

Either way the application answers, and then attaches a listener.
"""

import asyncio
from typing import Any, ClassVar, cast

from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected, get_remote_addr, is_ssl
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol

from livegift.hub.asgi_stand_ins import EndNotice, NoFlowControl
from livegift.hub.broadcast import SocketWriter
from livegift.hub.handshake import DEFLATE, Extensions, Handshake
from livegift.hub.message_reader import Listener, MessageReader
from livegift.hub.rates import FrameBudget
from livegift.hub.timer_wheel import Deadline, TimerWheel
from livegift.runtime.bounds import HANDSHAKE_TIMEOUT_S

EXTENSION = "livegift.direct"
# What a connection owns of what uvicorn's constructor sets.
_OWN = {"_conn", "_budget", "_out", "socket_writer", "queue", "writable", "frames", "transport", "client", "scheme"}
_NO_QUEUE, NO_FLOW_CONTROL = EndNotice(lambda: None), NoFlowControl()


class Opening(MessageReader):
    """A connection until a listener is attached; `DirectProtocol` adds the rest."""

    timer_wheel: ClassVar[TimerWheel]
    deflate: ClassVar[bool] = True
    _deadline: Deadline | None = None
    _conn: ServerProtocol | None = None
    _owner: Listener | None = None  # the listener, until the socket is closed
    _handshake: Handshake | None = None  # while it is neither accepted nor refused
    _extensions: Extensions | None = None  # of a connection that `begin` has made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create a connection as uvicorn does."""
        super().__init__(*args, **kwargs)
        self._out: list[bytes] = []
        self.socket_writer = SocketWriter()
        if self.deflate:
            self.conn.available_extensions = DEFLATE

    # --- Plain handshakes ---------------------------------------------------------------------------------------------

    @classmethod
    def begin(
        cls,
        handshake: Handshake,
        transport: asyncio.Transport,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        """Have the application answer a handshake, now.

        The connection is made without uvicorn's constructor: most of what that sets is the same for all, and kept by
        the class; and it needs neither a queue nor a task, and a parser only for other frames than texts and pings.
        """
        if "config" not in cls.__dict__:
            for name, value in vars(cls(config, server_state, app_state)).items():
                if name not in _OWN:
                    setattr(cls, name, value)
        self = cls.__new__(cls)
        self.transport = transport
        self.client = get_remote_addr(transport)
        self.scheme = "wss" if is_ssl(transport) else "ws"
        self.connections.add(self)
        self._budget = FrameBudget(self.commands_per_s_max)
        self._out = []
        self.frames = []
        self.socket_writer = SocketWriter()
        self.socket_writer.write_rest = transport.write
        self._extensions, self._handshake = handshake.extensions, handshake
        self.handshake_initiated = True
        self.default_headers = server_state.default_headers  # with the time of the day
        self.queue = cast("asyncio.Queue[ASGIReceiveEvent]", _NO_QUEUE)
        self.writable = cast("asyncio.Event", NO_FLOW_CONTROL)
        path = self.root_path + handshake.path.decode()
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": None,
            "client": self.client,
            "root_path": self.root_path,
            "path": path,
            "raw_path": path.encode(),
            "query_string": handshake.query,
            "headers": handshake.headers,
            "subprotocols": handshake.subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: cast("dict[object, object]", self)},
        }
        transport.set_protocol(self)
        serving = self.run_asgi()
        try:
            serving.send(None)
        except StopIteration:
            return
        serving.close()  # nothing in this application waits before it has answered a handshake
        self.logger.error("expected the application to answer a handshake at once")
        self.send_500_response()
        transport.close()

    @property
    def conn(self) -> ServerProtocol:
        """Return `websockets`' state of this connection, which is made when something needs it."""
        conn = self._conn
        if conn is None:
            state = OPEN if self.handshake_complete else CONNECTING
            conn = ServerProtocol(state=state, max_size=self.config.ws_max_size, logger=self.logger)
            if self._extensions is not None:
                conn.extensions = list(self._extensions.fresh())
            self._conn = conn
        return conn

    @conn.setter
    def conn(self, conn: ServerProtocol) -> None:
        self._conn = conn

    @property
    def _is_between_messages(self) -> bool:
        return self._conn is None or self._conn.current_size is None

    @property
    def _is_closing(self) -> bool:
        return self._conn is not None and self._conn.state is not OPEN

    async def run_asgi(self) -> None:
        """Run the application, which returns once a listener is attached; without one the connection is closed."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        else:
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if self._owner is None and self.close_timer is None:
            self.transport.close()

    async def accept(self, subprotocol: str | None) -> None:
        """Accept the handshake. Raises ClientDisconnected."""
        handshake, self._handshake = self._handshake, None
        if handshake is None:
            await self.receive()  # the client wants to connect
            await self.send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
            return
        if self.transport.is_closing():
            raise ClientDisconnected
        self.handshake_complete = True
        self._find_socket()
        self.socket_writer.resume()
        self.socket_writer.send(handshake.response(subprotocol, self.default_headers))
        self.start_keepalive()

    def _find_socket(self) -> None:
        """Let frames be written to the socket itself, unless what goes out is encrypted."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and self.transport.get_extra_info("sslcontext") is None:
            self.socket_writer.fd = sock.fileno()

    def handle_connect(self, event: Request) -> None:
        """Handle the handshake's request, and offer the extension."""
        self.socket_writer.write_rest = self.transport.write
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = cast(
                "dict[object, object]", self
            )  # not data: ASGI lets a server do so
            self._deadline = self.timer_wheel.after(HANDSHAKE_TIMEOUT_S, self._no_accept)

    def _no_accept(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()
