"""uvicorn's WebSocket protocol with a short way through: frames go to the socket as they are, text comes at once.

It offers itself to the application as `scope["extensions"]["livegift.direct"]`. Until somebody attaches to it, and for
everything but messages (handshake, ping, close), it is uvicorn's own class, which parses with `websockets`' sans-I/O
protocol. Another server does not have the extension; the hub then uses plain ASGI.
"""

import asyncio
from typing import Any, ClassVar, Protocol, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.protocol import OPEN

try:
    from websockets.speedups import apply_mask
except ImportError:  # as websockets itself does where it has no wheel
    from websockets.utils import apply_mask

from livegift.hub.message import Message, text_frame
from livegift.hub.tap import Tap, nowhere
from livegift.hub.wheel import Deadline, Wheel
from livegift.limits import (
    CLOSE_LINGER_S,
    HANDSHAKE_TIMEOUT_S,
    PING_PERIOD_S,
    WRITE_BUFFER_BYTES_LOW,
    WRITE_BUFFER_BYTES_MAX,
)

EXTENSION = "livegift.direct"
_PING, _PONG = b"\x89\x00", b"\x8a\x80"  # empty; the pong is masked
_WINDOW_BITS = 15  # what shared messages are compressed with, see `Message.deflated`


# RFC 6455, 5.2: FIN and opcode 1; the mask's bit; bytes before the payload of a masked frame, by its 7-bit length.
_TEXT, _MASKED = 0x81, 0x80
_HEADER_BYTES = {126: 8, 127: 14}


def frame_end(data: bytes, at: int) -> int | None:
    """Where the frame that begins at `at` ends; None while its header is not complete."""
    if len(data) < at + 2:
        return None
    length = data[at + 1] & 0x7F
    header = _HEADER_BYTES.get(length, 6) - (0 if data[at + 1] & _MASKED else 4)
    if len(data) < at + header:
        return None
    if length == 126:  # noqa: PLR2004 - RFC 6455, 5.2
        length = int.from_bytes(data[at + 2 : at + 4])
    elif length == 127:  # noqa: PLR2004
        length = int.from_bytes(data[at + 2 : at + 10])
    return at + header + length


class Listener(Protocol):
    """Who attaches to a connection. Called from the event loop's callbacks, so none of it may block or raise."""

    def on_text(self, text: str) -> None:
        """A text message has come."""

    def on_binary(self) -> None:
        """A binary message has come."""

    def on_writable(self) -> None:
        """What was written has gone out, after `is_full`."""


class _Mailbox:
    """What an idle connection needs of an `asyncio.Queue`, which has four deques of 700 bytes: one reader, the end."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[ASGIReceiveEvent] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._messages.pop(0)


class _NoFlowControl:
    """In the place of the event that uvicorn's own `send` waits for, which is not used any more."""

    __slots__ = ()

    def set(self) -> None: ...

    def clear(self) -> None: ...

    async def wait(self) -> bool:
        return True


class DirectProtocol(WebSocketsSansIOProtocol):
    """One connection. A subclass made by `protocol_class` knows its process' wheel."""

    wheel: ClassVar[Wheel]
    deflate: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **kwargs)
        self._listener: Listener | None = None
        self._heard = True
        self._deadline: Deadline | None = None
        self._is_aligned = True
        self._rest = b""  # the beginning of a frame
        self._out: list[bytes] = []
        self.tap = Tap()
        self.is_full = False
        if self.deflate:
            self.conn.available_extensions = _DEFLATE

    # --- For the application ------------------------------------------------------------------------------------------

    def attach(self, listener: Listener) -> None:
        """From now on messages go to `listener` alone; what came before it goes there first."""
        self._listener = listener
        agreed = [e for e in self.conn.extensions if isinstance(e, PerMessageDeflate)]
        self.tap.deflates = bool(agreed) and agreed[0].local_max_window_bits == _WINDOW_BITS
        sock = self.transport.get_extra_info("socket")
        if sock is not None and self.transport.get_extra_info("sslcontext") is None:
            self.tap.fd = sock.fileno()
        self._open_tap()
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_BYTES_LOW)
        early = []
        while not self.queue.empty():
            early.append(self.queue.get_nowait())
        self.queue = cast("asyncio.Queue[ASGIReceiveEvent]", _Mailbox())
        self.writable = cast("asyncio.Event", _NoFlowControl())
        for event in early:
            if event["type"] != "websocket.receive":
                self.queue.put_nowait(event)
            elif (text := event.get("text")) is not None:
                listener.on_text(text)
            else:
                listener.on_binary()
        self.hold_reading(False)

    @property
    def is_open(self) -> bool:
        """Whether anything can be written."""
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def buffered_bytes(self) -> int:
        """What the other side has not taken yet."""
        return self.transport.get_write_buffer_size()

    def _open_tap(self) -> None:
        """Open it if nothing speaks against that."""
        idle = not self.buffered_bytes and not self._out
        if idle and self.tap.fd >= 0 and self._listener is not None and self.is_open:
            self.tap.open()

    def write(self, payload: bytes) -> None:
        """Write a text message, whatever is in the buffer; all of this turn of the loop go out in one piece."""
        if not self._out:
            self.loop.call_soon(self._flush)
            self.tap.shut()
        self._out.append(text_frame(payload))

    def write_shared(self, message: Message) -> bool:
        """The same for one that others get too, which is written as it is; False, and it is not, while `is_full`."""
        if self.is_full:
            return False
        self._flush()
        if self.is_open:
            self.tap.send(message.deflated if self.tap.deflates else message.plain)
        return True

    def _flush(self) -> None:
        out = b"".join(self._out)
        self._out.clear()
        self._open_tap()
        if out and self.is_open:
            self.tap.send(out)

    def hold_reading(self, hold: bool) -> None:  # noqa: FBT001 - its one argument is its meaning
        """Stop reading, or go on: the other side's sends then wait in its own buffers."""
        if hold == self.read_paused or self.transport.is_closing():
            return
        self.read_paused = hold
        if hold:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def close_now(self, code: int, reason: str) -> None:
        """Say goodbye behind what is in the buffer; whoever does not take it in CLOSE_LINGER_S is cut off."""
        if not self.is_open:
            return
        self._flush()
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            return
        self.tap.send(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.tap.shut()
        self._listener = None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.hold_reading(False)
        # As uvicorn has it: the peer's answer ends it sooner; without a timer it would close the transport at once.
        self.close_timer = self.loop.call_later(CLOSE_LINGER_S, self.transport.abort)

    # --- What uvicorn calls -------------------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        """The handshake's request: offer the extension."""
        self.tap.write_rest = self.transport.write
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = cast(
                "dict[object, object]", self
            )  # not data: ASGI lets a server do so
            self._deadline = self.wheel.after(HANDSHAKE_TIMEOUT_S, self._no_accept)

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn does, which takes a refused handshake for a forgotten one and logs an error for each."""
        self.tap.shut()
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def _no_accept(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    def start_keepalive(self) -> None:
        """On the wheel instead of two timers for each connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        # Only the application's task uses these from now on, and that has what it needs.
        del self.request, self.response
        self._deadline = self.wheel.after(PING_PERIOD_S, self._ping)

    def stop_keepalive(self) -> None:
        """No more pings."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _ping(self) -> None:
        if self.disconnected:
            return
        if self.transport.is_closing():
            self.transport.abort()  # it was to close when its buffer is empty, which nobody empties
            return
        if self.close_sent:
            return  # there is a timer
        if not self._heard:
            # Not even a pong to the last ping: nobody is there to take a close frame.
            self.transport.abort()
            return
        self._heard = False
        if not self.is_full:
            self.tap.send(_PING)
        self._deadline = self.wheel.after(PING_PERIOD_S, self._ping)

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Whole, uncompressed text messages take the short way; `websockets` gets all other frames."""
        self._heard = True
        if self._listener is None or not self._is_aligned:
            # From here on nobody but the parser knows where a frame begins.
            self._is_aligned = not self.handshake_initiated
            self._parse(data)
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        while at < len(data):
            end = frame_end(data, at)
            if end is None or end > len(data):
                if end is not None and end - at > self.config.ws_max_size:
                    self._is_aligned = False  # it will be refused, before all of it has come
                    self._parse(data[at:])
                else:
                    self._rest = data[at:]
                return
            if data.startswith(_PONG, at):
                pass  # to our ping, and `_heard` is all that it says
            elif data[at] != _TEXT or not data[at + 1] & _MASKED or self.conn.current_size is not None:
                self._parse(data[at:end])
            elif not self._take_text(data, at, end):
                return
            at = end

    def _parse(self, data: bytes) -> None:
        """Let uvicorn and `websockets` see to it, whose answers go through the transport."""
        self.tap.shut()
        super().data_received(data)
        self._open_tap()

    def _take_text(self, data: bytes, at: int, end: int) -> bool:
        """Unmask and hand over one message; False when the connection has ended."""
        payload_at = at + _HEADER_BYTES.get(data[at + 1] & 0x7F, 6)
        payload = data[payload_at:end]
        listener = self._listener
        if listener is None or self.conn.state is not OPEN or len(payload) > self.config.ws_max_size:
            self._parse(data[at:end])
            return True
        try:
            text = apply_mask(payload, data[payload_at - 4 : payload_at]).decode()
        except UnicodeDecodeError:
            self._parse(data[at:end])  # which knows what to say to that
            return False
        listener.on_text(text)
        return True

    def send_receive_event_to_app(self) -> None:
        """A message is complete."""
        listener = self._listener
        if listener is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type != "text":
            listener.on_binary()
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.conn.fail(1007, "expected UTF-8")
            self.handle_parser_exception()
            return
        listener.on_text(text)

    def pause_writing(self) -> None:
        """The buffer is over its limit."""
        super().pause_writing()
        self.is_full = True
        self.tap.shut()

    def resume_writing(self) -> None:
        """It has drained."""
        super().resume_writing()
        self.is_full = False
        self._open_tap()
        if self._listener is not None:
            self._listener.on_writable()

    def shutdown(self) -> None:
        """The server ends."""
        self.tap.shut()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, and closes its socket when this returns."""
        self._listener = None
        self.tap.shut()
        self.tap.write_rest = nowhere
        super().connection_lost(exc)


_DEFLATE = [
    ServerPerMessageDeflateFactory(
        # Neither side keeps a window between messages: one compressed frame serves all, an idle connection owns none.
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        compress_settings={"level": 1},
    )
]


def protocol_class(wheel: Wheel, *, deflate: bool = True) -> type[asyncio.Protocol]:
    """The class for uvicorn's `ws`, with what all connections of this process share."""
    return type("HubProtocol", (DirectProtocol,), {"wheel": wheel, "deflate": deflate})
