"""A room as one writes it first: Starlette, and a loop of `send_text` over all sockets. For comparison only.

`python -m loadtests.peers.starlette_loop --fd N`, with LIVEGIFT_REDIS_URL in the environment.
"""

import argparse
import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from loadtests.clients.publisher import CHANNEL

viewers: set[WebSocket] = set()


async def watch(websocket: WebSocket) -> None:
    """One viewer."""
    await websocket.accept()
    viewers.add(websocket)
    await websocket.send_text("welcome")
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        viewers.discard(websocket)


async def show() -> None:
    """Every event to every viewer."""
    async with Redis.from_url(os.environ["LIVEGIFT_REDIS_URL"]) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message":
                text = message["data"].decode()
                for viewer in list(viewers):
                    with suppress(RuntimeError, WebSocketDisconnect):
                        await viewer.send_text(text)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Listen to Redis meanwhile."""
    task = asyncio.create_task(show())
    yield
    task.cancel()


app = Starlette(routes=[WebSocketRoute("/", watch)], lifespan=lifespan)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True, help="an inherited listening socket")
    config = uvicorn.Config(
        app, loop="uvloop", ws="websockets-sansio", ws_per_message_deflate=False, access_log=False, log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=parser.parse_args().fd)])
