"""The server one writes first: Starlette, and one `await redis.fcall` for each gift. For comparison only.

It speaks as much of the protocol as the gifts benchmark needs, on the same uvicorn, event loop and WebSocket
implementation, with the same JSON library. It leaves out most of what livegift does (rooms, limits, streaks, prices
from a catalogue, other devices of the user), which is in its favour.

`python -m loadtests.peers.naive --fd N`, with NAIVE_REDIS_URL and LIVEGIFT_JWT_SECRET in the environment.
"""

import argparse
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import orjson
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

FUNCTION = "naive_gift"
LIBRARY = Path(__file__).with_suffix(".lua")
STREAM = "naive:gifts"
REF_TTL_S = 86_400
PRICES = {"rose": 1, "heart": 5}


def wallet_key(user: str) -> str:
    """The hash with the user's coins."""
    return f"naive:wallet:{user}"


async def gifts(websocket: WebSocket) -> None:
    """One connection: hello, then gift after gift."""
    redis: Redis = websocket.app.state.redis
    await websocket.accept("livegift.v1")
    try:
        hello = orjson.loads(await websocket.receive_text())
        claims = jwt.decode(hello["token"], os.environ["LIVEGIFT_JWT_SECRET"], algorithms=["HS256"])
        user = claims["sub"]
        await websocket.send_text(orjson.dumps({"type": "welcome", "user": {"id": user}}).decode())
        while True:
            gift = orjson.loads(await websocket.receive_text())
            coins = PRICES[gift["gift_id"]] * gift["count"]
            event = {
                "user": user,
                "ref": gift["ref"],
                "room": gift["room"],
                "gift_id": gift["gift_id"],
                "count": gift["count"],
                "coins": coins,
                "ts_ms": int(time.time() * 1000),
            }
            keys = (wallet_key(user), f"naive:ref:{user}:{gift['ref']}", STREAM)
            status, balance, event_id = await redis.fcall(
                FUNCTION, len(keys), *keys, coins, REF_TTL_S, orjson.dumps(event)
            )
            result = {
                "type": "gift.result",
                "ref": gift["ref"],
                "status": status.decode(),
                "gift_event_id": event_id.decode(),
                "coins": coins,
                "balance": int(balance),
            }
            await websocket.send_text(orjson.dumps(result).decode())
    except WebSocketDisconnect:
        return


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connect with redis-py's defaults and load the function."""
    async with Redis.from_url(os.environ["NAIVE_REDIS_URL"]) as redis:
        await redis.function_load(LIBRARY.read_text(), replace=True)
        app.state.redis = redis
        yield


app = Starlette(routes=[WebSocketRoute("/v1/ws", gifts)], lifespan=lifespan)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True, help="an inherited listening socket")
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="h11",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=parser.parse_args().fd)])
