"""The WebSocket endpoint `/v1/ws` on plain ASGI."""

import asyncio

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from livegift import metrics, wire
from livegift.errors import Close
from livegift.hub.connection import Connection, Services
from livegift.hub.outlet import ClosedError, Outlet
from livegift.limits import CLOSE_TIMEOUT_S

log = structlog.get_logger()


async def serve(websocket: WebSocket, services: Services) -> None:
    """Accept, then read and write until one side ends it. Logs one line when it is over."""
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(wire.SUBPROTOCOL if wire.SUBPROTOCOL in offered else None)
    outlet = Outlet(websocket.send_text)
    connection = Connection(services, outlet)
    metrics.CONNECTIONS.inc()
    closing: ClosedError | None = None
    tasks = {
        asyncio.create_task(_read(websocket, connection), name="read"),
        asyncio.create_task(outlet.run(), name="write"),
        asyncio.create_task(outlet.closed.wait(), name="closed"),
    }
    try:
        # Not the application's task group: the first that ends, ends all.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, WebSocketDisconnect):  # that one has only left
                log.error("connection.failed", session=connection.session_id, exc_info=error)
        closing = outlet.closing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        metrics.CONNECTIONS.dec()
        await connection.aclose()
    if closing is not None:
        await _close(websocket, closing)
    log.debug(
        "connection.closed",
        session=connection.session_id,
        received=connection.received,
        gifts=connection.gifts,
        code=None if closing is None else int(closing.code),
    )


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
        await connection.on_text(text)


async def _close(websocket: WebSocket, closing: ClosedError) -> None:
    if closing.code is Close.TOO_SLOW:
        metrics.SLOW_CLOSED.inc()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await websocket.close(int(closing.code), closing.reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # the other side is gone already, or does not read; the server drops the transport
