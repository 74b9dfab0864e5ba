"""The WebSocket `/v1/ws` as a route."""

from starlette.websockets import WebSocket

from livegift.http.routing import Socket
from livegift.hub.hub import Hub
from livegift.runtime.access import PUBLIC, Rate

PATH = "/v1/ws"


async def serve(websocket: WebSocket) -> None:
    """Hand the connection to this process's hub."""
    hub: Hub = websocket.app.state.hub
    await hub.serve(websocket)


ROUTES = (Socket(PATH, PUBLIC, Rate.CONNECT, serve),)
