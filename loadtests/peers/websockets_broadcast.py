"""A room on `websockets` with its `broadcast`, on uvloop. For comparison only.

`python -m loadtests.peers.websockets_broadcast --fd N`, with LIVEGIFT_REDIS_URL in the environment.
"""

import argparse
import os
import socket

import uvloop
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, broadcast, serve

from loadtests.clients.publisher import CHANNEL

viewers: set[ServerConnection] = set()


async def watch(connection: ServerConnection) -> None:
    """One viewer."""
    await connection.send("welcome")
    viewers.add(connection)
    try:
        await connection.wait_closed()
    finally:
        viewers.discard(connection)


async def main(fd: int) -> None:
    """Every event to every viewer."""
    async with (
        serve(watch, sock=socket.socket(fileno=fd), compression=None),
        Redis.from_url(os.environ["LIVEGIFT_REDIS_URL"]) as redis,
        redis.pubsub() as pubsub,
    ):
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message":
                broadcast(viewers, message["data"].decode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True, help="an inherited listening socket")
    uvloop.run(main(parser.parse_args().fd))
