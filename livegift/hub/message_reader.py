"""Reading on the direct path: whole frames, a limited number per turn of the event loop, within a budget.

Text goes to the listener at once, pings are answered here, and `websockets`' parser gets every other frame. Reading
stops while the client does not read, and while too much waits to be handled.
"""

from typing import Any, ClassVar, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import OPEN

from livegift.contract.errors import Close
from livegift.hub.framing import (
    CLOSE,
    HEADER_BYTES_MAX,
    MASKED,
    PING,
    PONG,
    TEXT,
    carries_message,
    frame_end,
    is_control,
    unmasked,
)
from livegift.hub.rates import FrameBudget
from livegift.runtime import refusals
from livegift.runtime.bounds import (
    CLOSE_DISCARD_BYTES_MAX,
    FRAGMENTS_PER_MESSAGE_MAX,
    FRAMES_PER_TURN_MAX,
    ODD_READ_BYTES_MAX,
)

# Reasons for not reading at the moment: there is no listener, commands wait, the client does not read, or there is more
# than one turn of the loop may handle.
EARLY, COMMANDS, FULL, TURN = 1, 2, 4, 8


class Listener(Protocol):
    """The listener of a connection. It is called from callbacks of the event loop, so no method may block or raise."""

    def on_text(self, text: str) -> None:
        """Handle a text message."""

    def on_binary(self) -> None:
        """Handle a binary message."""

    def on_writable(self) -> None:
        """Continue writing: the buffer has drained after `is_full`."""

    def on_flood(self, why: str) -> None:
        """Close the connection, which sends more than it may."""

    def on_end(self) -> None:
        """End the connection's work: nothing more comes, and nothing can be written."""

    def on_gone(self) -> None:
        """Count the connection out: its socket is closed, which may be later than its end."""


class MessageReader(WebSocketsSansIOProtocol):
    """The reading side of a connection; `DirectProtocol` adds the writing."""

    commands_per_s_max: ClassVar[int] = 0
    # What a connection begins with. As most stay like that, the class has these, and a connection only what differs.
    _listener: Listener | None = None
    _heard = True
    _rest = b""  # the beginning of a frame, or everything unread while `_holds`
    _holds = 0
    _reads = True
    _asked: bytes | None = None  # the newest ping's payload
    _awaits_pong = False
    _discarded_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create a connection as uvicorn does."""
        super().__init__(*args, **kwargs)
        self._budget = FrameBudget(self.commands_per_s_max)

    @property
    def _is_between_messages(self) -> bool:
        """Return whether no fragments of a message wait for the rest of it."""
        return self.conn.current_size is None

    @property
    def _is_closing(self) -> bool:
        """Return whether a close frame has come, or the data violates the protocol."""
        return self.conn.state is not OPEN

    # --- Used by the writing side -----------------------------------------------------------------------------------

    def close_now(self, code: int, reason: str) -> None:
        """Close the connection."""
        raise NotImplementedError

    def _answer_ping(self) -> None:
        """Answer the newest ping, if there is one and the buffer has room."""
        raise NotImplementedError

    # --- Going on and waiting -----------------------------------------------------------------------------------------

    def _hold(self, why: int, hold: bool) -> None:  # noqa: FBT001
        if self.close_sent:
            return
        held, self._holds = self._holds, self._holds | why if hold else self._holds & ~why
        if held and not self._holds and self._rest:
            self._holds = TURN  # earlier bytes go first
            self.loop.call_soon(self._next_turn)
        self._read_or_not()

    def _read_or_not(self) -> None:
        reads = not self._holds
        if reads != self._reads and not self.transport.is_closing():
            self._reads = reads
            if reads:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""
        if not self.handshake_initiated:
            super().data_received(data)  # the request, which the HTTP protocol has read completely
        elif self.close_sent:
            self._discard(data)
        else:
            self._heard = True
            self._take(self._rest + data if self._rest else data)

    def _next_turn(self) -> None:
        self._holds &= ~TURN
        if not self._holds and not self.close_sent:
            self._take(self._rest)
        self._read_or_not()

    def _take(self, data: bytes) -> None:
        """Handle the whole frames of `data`, as many as one turn of the loop may; the rest waits."""
        self._rest = b""
        if self._listener is None:
            self._holds |= EARLY
        at, frames, size = 0, 0, len(data)
        while at < size:
            end = frame_end(data, at)
            if end is None or end > size:
                self._keep(data, at, end, frames)
                break
            if frames == FRAMES_PER_TURN_MAX and not self._holds:
                self._holds = TURN
                self.loop.call_soon(self._next_turn)
            if self._holds:
                self._rest = data[at:]
                break
            frames += 1
            if data[at] == TEXT and data[at + 1] & MASKED and self._is_between_messages:
                self._take_text(data, at, end)
            else:
                self._take_other(data, at, end)
            if self.close_sent or self._is_closing:
                return
            at = end
        self._answer_ping()
        if self._holds:
            self._read_or_not()
        if not self._budget.spend(frames, at):
            self._flooded("more frames came than any client sends")

    def _keep(self, data: bytes, at: int, end: int | None, frames: int) -> None:
        """Keep the beginning of a frame until its end comes, if the frame is allowed."""
        if end is not None and end - at > self.config.ws_max_size + HEADER_BYTES_MAX:
            self._parse(data[at:])  # which refuses it before it is complete
            return
        self._rest = data[at:]
        if not frames and len(data) <= ODD_READ_BYTES_MAX and not self._budget.spend_odd():
            self._flooded("frames come in too many pieces")

    def _take_other(self, data: bytes, at: int, end: int) -> None:
        """Handle anything but a plain text message: pings and pongs here, the rest by `websockets`."""
        is_pong = is_control(data, at, PONG)
        if is_pong and self._awaits_pong:
            self._awaits_pong = False  # a pong has no meaning beyond `_heard`
        elif not carries_message(data[at]) and not self._budget.spend_odd():
            self._flooded("too many pings or pieces of messages came")
        elif is_control(data, at, PING):
            self._asked = unmasked(data, at, end)
        elif not is_pong:
            self._parse(data[at:end])

    def _parse(self, data: bytes) -> None:
        """Let uvicorn and `websockets` handle it, whose answers go through the transport."""
        super().data_received(data)

    def _flooded(self, why: str) -> None:
        if self._listener is not None:
            self._listener.on_flood(why)

    def _take_text(self, data: bytes, at: int, end: int) -> None:
        """Unmask one message and pass it to the listener."""
        listener = self._listener
        if listener is None or end - at > self.config.ws_max_size:
            self._parse(data[at:end])
            return
        try:
            text = unmasked(data, at, end).decode()
        except UnicodeDecodeError:
            self._parse(data[at:end])  # which has the right answer
            return
        listener.on_text(text)

    def _discard(self, data: bytes) -> None:
        """Discard everything but the client's close frame, after our own; little is read until it comes."""
        self._discarded_bytes += len(data)
        data, self._rest = (self._rest + data)[:CLOSE_DISCARD_BYTES_MAX], b""
        at = 0
        while (end := frame_end(data, at)) is not None and end <= len(data):
            if is_control(data, at, CLOSE):
                self.transport.close()
                return
            at = end
        self._rest = data[at:]
        if self._discarded_bytes > CLOSE_DISCARD_BYTES_MAX:
            self._rest, self._holds = b"", EARLY
            self._read_or_not()

    def handle_cont(self, event: Frame) -> None:
        """Count a fragment of a message; their number is limited."""
        if len(self.frames) < FRAGMENTS_PER_MESSAGE_MAX:
            super().handle_cont(event)
        elif not self.close_sent:
            refusals.note("connection.closed", Close.TOO_BIG.name.lower(), why="pieces")
            self.close_now(Close.TOO_BIG, f"expected a message in at most {FRAGMENTS_PER_MESSAGE_MAX} pieces")

    def handle_parser_exception(self) -> None:
        """Close for what `websockets` has refused: a frame that is too large, or none that the standard knows."""
        close = self.conn.close_sent
        if close is not None:
            reason = Close.TOO_BIG.name.lower() if close.code == Close.TOO_BIG else "not websocket"
            refusals.note("connection.closed", reason, code=close.code, why=close.reason)
        super().handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """Pass a complete message to the listener."""
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
