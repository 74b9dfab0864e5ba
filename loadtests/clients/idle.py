"""Viewers who only watch: opens connections that say hello and join a room, prints `open N`, stays until SIGTERM."""

import argparse
import asyncio
import os
import signal

import uvloop

from livegift.identity import Tokens
from loadtests.clients.websocket import WebSocketClient, connect, gather_some


async def enter(options: argparse.Namespace, tokens: Tokens, number: int) -> WebSocketClient:
    """Connect, say hello, join one of the rooms."""
    viewer = await connect(options.address, WebSocketClient)
    await viewer.ask("welcome", type="hello", token=tokens.sign(f"idle-{number}", age_verified=True))
    await viewer.ask("room.snapshot", type="room.join", room=f"{options.room}-{number % options.rooms}")
    return viewer


async def main(options: argparse.Namespace) -> None:
    """Open all, then wait."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tokens = Tokens(os.environ["LIVEGIFT_JWT_SECRET"])
    viewers = await gather_some(enter(options, tokens, number) for number in range(options.connections))
    print("open", len(viewers), flush=True)
    await stop.wait()
    lost = [viewer.closed.result() for viewer in viewers if viewer.closed.done()]
    print("lost", len(lost), sorted(set(lost))[:5], flush=True)
    for viewer in viewers:
        viewer.transport.abort()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--room", required=True, help="rooms are ROOM-0 and up")
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--connections", type=int, default=2000)
    uvloop.run(main(parser.parse_args()))
