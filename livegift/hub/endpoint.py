"""The WebSocket endpoint `/v1/ws`: directly on the socket where the server offers that, else on plain ASGI."""

import asyncio

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from livegift.contract.commands import SUBPROTOCOL
from livegift.contract.encoding import encode
from livegift.contract.errors import Close
from livegift.hub.command_queue import CommandQueue
from livegift.hub.connection import Connection
from livegift.hub.opening import EXTENSION
from livegift.hub.outbound import ClosedError, DirectOutbound, QueuedOutbound
from livegift.hub.protocol import DirectProtocol
from livegift.hub.rates import spread
from livegift.hub.services import Services
from livegift.runtime import metrics, refusals
from livegift.runtime.bounds import CLOSE_TIMEOUT_S, CONNECT_RETRY_S

log = structlog.get_logger()


async def serve(websocket: WebSocket, services: Services) -> None:
    """Accept a connection, then read and write until one side ends it. Logs one line at the end.

    On the direct path it returns at once, without having waited for anything, and the connection goes on.
    """
    address = websocket.client.host if websocket.client else ""
    refused = services.admission.enter(address)
    if refused is not None:
        refusals.note("connection.refused", refused, address=address)
        await _refuse(websocket, refused)
        return
    metrics.CONNECTIONS.inc()
    offered = websocket.scope.get("subprotocols", ())
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    direct = websocket.scope.get("extensions", {}).get(EXTENSION)
    is_attached = False
    try:
        if isinstance(direct, DirectProtocol):
            token = websocket.query_params.get("token") if websocket.scope["query_string"] else None
            await direct.accept(subprotocol)
            listener = _Direct(services, direct, address)
            if token is not None:
                listener.command_queue.begin(listener.connection.hello(token))
            is_attached = True  # it counts itself out
            direct.attach(listener)
        else:
            await websocket.accept(subprotocol)
            await _serve_plain(websocket, services, address)
    finally:
        if not is_attached:
            _count_out(services, address)


def _count_out(services: Services, address: str) -> None:
    metrics.CONNECTIONS.dec()
    services.admission.leave(address)


async def _refuse(websocket: WebSocket, reason: str) -> None:
    """Refuse before the handshake: 503, with a random time to come back."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        retry_after_s = 1 + round(spread(CONNECT_RETRY_S))
        headers = {"Retry-After": str(retry_after_s), "Connection": "close"}
        body = {"code": "unavailable", "detail": f"No more connections at the moment ({reason}).", "retryable": True}
        response = Response(encode(body), 503, headers, media_type="application/problem+json")
        await websocket.send_denial_response(response)
    else:
        await websocket.close(int(Close.RESTARTING), reason)


class _Direct:
    """A connection, as the listener of its protocol."""

    __slots__ = ("_address", "_outbound", "_services", "command_queue", "connection", "on_text")

    def __init__(self, services: Services, direct: DirectProtocol, address: str) -> None:
        self._services = services
        self._address = address
        self._outbound = DirectOutbound(direct)
        self.connection = Connection(services, self._outbound)
        self.command_queue = CommandQueue(self.connection.on_text, direct.hold_reading)
        self.on_text = self.command_queue.put

    def on_writable(self) -> None:
        self.connection.on_writable()

    def on_flood(self, why: str) -> None:
        self.connection.too_fast(why)

    def on_binary(self) -> None:
        self.connection.refuse_binary()

    def on_end(self) -> None:
        self.command_queue.close()
        self.connection.close()
        _log_end(self.connection, self._outbound.closing, self._address)

    def on_gone(self) -> None:
        _count_out(self._services, self._address)


def _log_end(connection: Connection, closing: ClosedError | None, address: str) -> None:
    if closing is not None and closing.code is not Close.RESTARTING:
        refusals.note("connection.closed", closing.code.name.lower(), code=int(closing.code), why=closing.reason,
                      session=connection.session_id, address=address)  # fmt: skip
    log.debug(
        "connection.closed",
        session=connection.session_id,
        received=connection.received,
        gifts=connection.gifts,
        code=None if closing is None else int(closing.code),
    )


# --- Plain ASGI -------------------------------------------------------------------------------------------------------


async def _serve_plain(websocket: WebSocket, services: Services, address: str) -> None:
    outbound = QueuedOutbound(websocket.send_text)
    connection = Connection(services, outbound)
    outbound.on_writable = connection.on_writable
    tasks = {
        asyncio.create_task(_read(websocket, connection), name="read"),
        asyncio.create_task(outbound.run(), name="write"),
        asyncio.create_task(outbound.closed.wait(), name="closed"),
    }
    closing: ClosedError | None = None
    try:
        # Not a task group: the first task to end ends all.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, WebSocketDisconnect):  # the client has only left
                log.error("connection.failed", session=connection.session_id, exc_info=error)
        closing = outbound.closing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connection.close()
    if closing is not None:
        await _close(websocket, closing)
    _log_end(connection, closing, address)


async def _read(websocket: WebSocket, connection: Connection) -> None:
    token = websocket.query_params.get("token")
    if token is not None:
        await connection.hello(token)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is None:
            connection.refuse_binary()
            continue
        work = connection.on_text(text)
        if work is not None:
            await work


async def _close(websocket: WebSocket, closing: ClosedError) -> None:
    if closing.code is Close.TOO_SLOW:
        metrics.SLOW_CLOSED.inc()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await websocket.close(int(closing.code), closing.reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # the client is gone or does not read; the server drops the transport
