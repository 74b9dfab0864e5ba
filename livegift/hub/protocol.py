"""uvicorn's WebSocket protocol with a direct path: frames are written to the socket, and text is read, without ASGI.

It offers itself to the application as `scope["extensions"]["livegift.direct"]`. Until a listener is attached, and for
everything but messages (handshake, ping, close), it is uvicorn's own class, which parses with `websockets`' sans-I/O
protocol. Another server does not have the extension; the hub then uses plain ASGI.
"""

import asyncio
from typing import cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from websockets.exceptions import InvalidState
from websockets.extensions.permessage_deflate import PerMessageDeflate

from livegift.hub.asgi_stand_ins import EndNotice
from livegift.hub.broadcast import nowhere
from livegift.hub.framing import pong_frame
from livegift.hub.handshake import WINDOW_BITS
from livegift.hub.message_reader import COMMANDS, EARLY, FULL, Listener
from livegift.hub.opening import NO_FLOW_CONTROL, Opening
from livegift.hub.prepared_message import PreparedMessage, text_frame
from livegift.hub.timer_wheel import TimerWheel
from livegift.runtime import metrics
from livegift.runtime.bounds import (
    CLOSE_LINGER_S,
    PING_PERIOD_S,
    WRITE_BUFFER_BYTES_LOW,
    WRITE_BUFFER_BYTES_MAX,
)

_EMPTY_PING = b"\x89\x00"


class DirectProtocol(Opening):
    """A connection. `protocol_class` makes subclasses whose connections share a timer wheel."""

    is_full = False
    _left_bytes = 0  # in the buffer, at the last ping

    # --- For the application ------------------------------------------------------------------------------------------

    def attach(self, listener: Listener) -> None:
        """Pass all messages to `listener` from now on, beginning with those that came before."""
        self._listener = self._owner = listener
        early = []
        while not self.queue.empty():
            early.append(self.queue.get_nowait())
        self.queue = cast("asyncio.Queue[ASGIReceiveEvent]", EndNotice(listener.on_end))
        self.writable = cast("asyncio.Event", NO_FLOW_CONTROL)
        if self._extensions is None:
            agreed = [e for e in self.conn.extensions if isinstance(e, PerMessageDeflate)]
            self.socket_writer.deflates = bool(agreed) and agreed[0].local_max_window_bits == WINDOW_BITS
            self._find_socket()
        else:
            self.socket_writer.deflates = self._extensions.deflates
        del self.scope  # otherwise the request's headers would be kept as long as the connection
        self._resume_writer()
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_BYTES_LOW)
        for event in early:
            if event["type"] != "websocket.receive":
                self.queue.put_nowait(event)
            elif (text := event.get("text")) is not None:
                listener.on_text(text)
            else:
                listener.on_binary()
        self._hold(EARLY, False)

    @property
    def is_open(self) -> bool:
        """Return whether anything can be written."""
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def buffered_bytes(self) -> int:
        """Return the number of bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    def _resume_writer(self) -> None:
        """Resume the writer if nothing prevents it."""
        idle = not self.buffered_bytes and not self._out
        if idle and self.socket_writer.fd >= 0 and self._listener is not None and self.is_open:
            self.socket_writer.resume()

    def write(self, payload: bytes) -> None:
        """Write a text message, whatever is in the buffer. All messages of one turn of the loop go out in one write."""
        if not self._out:
            self.loop.call_soon(self._flush)
            self.socket_writer.pause()
        self._out.append(text_frame(payload))

    def write_shared(self, message: PreparedMessage) -> bool:
        """Write a shared message at once. Returns False, without writing, while `is_full`."""
        if self.is_full:
            return False
        self._flush()
        if self.is_open:
            self.socket_writer.send(message.deflated if self.socket_writer.deflates else message.plain)
        return True

    def _flush(self) -> None:
        out = b"".join(self._out)
        self._out.clear()
        self._resume_writer()
        if out and self.is_open:
            self.socket_writer.send(out)

    def hold_reading(self, hold: bool) -> None:  # noqa: FBT001 - its one argument is its meaning
        """Stop or resume reading. Meanwhile the client's data waits in its own buffers."""
        self._hold(COMMANDS, hold)

    def close_now(self, code: int, reason: str) -> None:
        """Close after what is in the buffer. A client that does not take it within CLOSE_LINGER_S is cut off."""
        if not self.is_open:
            return
        self._flush()
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            return
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        """Send the close frame made by `websockets`; from then on accept only the client's."""
        self.socket_writer.send(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.socket_writer.pause()
        self._listener = None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._rest, self._holds = b"", 0
        self._read_or_not()
        # Closing while something is unread would reset the connection, and the client might never see the code. So we
        # send the end of the stream, and the client closes; without a timer uvicorn would close at once.
        self.close_timer = self.loop.call_later(CLOSE_LINGER_S, self.transport.abort)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # --- What uvicorn calls -------------------------------------------------------------------------------------------

    async def send(self, message: ASGISendEvent) -> None:
        """Send as uvicorn does, but without its error log for a refused handshake, which it takes as forgotten."""
        self.socket_writer.pause()
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def start_keepalive(self) -> None:
        """Start pings on the timer wheel, instead of two timers for each connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._extensions is None:
            del self.request, self.response  # which nobody uses from now on
        self._deadline = self.timer_wheel.after(PING_PERIOD_S, self._ping)

    def stop_keepalive(self) -> None:
        """Stop pings."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _ping(self) -> None:
        if self.disconnected:
            return
        if self.transport.is_closing():
            self.transport.abort()  # it should close once its buffer is empty, which nobody empties
            return
        if self.close_sent:
            return  # there is a timer
        before, self._left_bytes = self._left_bytes, self.buffered_bytes
        if not self._heard and self._left_bytes >= before:
            # It answered no ping and reads nothing of what was sent, so it would not read a close frame either.
            self.transport.abort()
            return
        self._heard = False
        if not self.is_full:
            self.socket_writer.send(_EMPTY_PING)
            self._awaits_pong = True
        self._deadline = self.timer_wheel.after(PING_PERIOD_S, self._ping)

    def _parse(self, data: bytes) -> None:
        """Let uvicorn and `websockets` handle it, whose answers go through the transport."""
        self.socket_writer.pause()
        super()._parse(data)
        self._resume_writer()

    def _answer_ping(self) -> None:
        """Answer the newest ping once there is room: of several, only that one needs an answer (RFC 6455, 5.5.3)."""
        if self._asked is not None and not self.is_full and self.is_open:
            self.socket_writer.send(pong_frame(self._asked))
            self._asked = None

    def handle_parser_exception(self) -> None:
        """Close the connection, whose data violates the protocol."""
        close = self.conn.close_sent
        if close is not None and not self.close_sent:
            self._flush()  # answers to what came before it
            self._end(close.code, close.reason)

    def pause_writing(self) -> None:
        """Pause: the buffer is over its limit."""
        super().pause_writing()
        self.is_full = True
        self.socket_writer.pause()
        if self._listener is not None:
            self._hold(FULL, True)  # answers to more commands would only fill the memory

    def resume_writing(self) -> None:
        """Resume: the buffer has drained."""
        super().resume_writing()
        self.is_full = False
        self._heard = True
        self._resume_writer()
        self._answer_ping()
        self._hold(FULL, False)
        if self._listener is not None:
            self._listener.on_writable()

    def shutdown(self) -> None:
        """Shut down with the server."""
        self.socket_writer.pause()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the transport, which closes its socket when this returns."""
        self._listener = None
        self.socket_writer.pause()
        self.socket_writer.write_rest = nowhere
        super().connection_lost(exc)
        metrics.SOCKETS.set(len(self.connections))
        if self._owner is not None:
            self._owner.on_gone()
            self._owner = None


def protocol_class(timer_wheel: TimerWheel, commands_per_s_max: int, *, deflate: bool = True) -> type[DirectProtocol]:
    """Return the class for uvicorn's `ws`, with what all connections of this process share."""
    shared = {"timer_wheel": timer_wheel, "commands_per_s_max": commands_per_s_max, "deflate": deflate}
    return type("HubProtocol", (DirectProtocol,), shared)
