"""Simulated viewers for `livegift dev --demo`: a small crowd that watches one room and sends gifts as people do.

They use what any viewer uses: tokens, HTTP and the WebSocket. When the server goes away they keep trying to come back.
Their coins are those that `POST /demo/coins` gives to anybody.
"""

import asyncio
import json
import logging
import random
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from secrets import token_hex
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import click
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from livegift.contract.commands import SUBPROTOCOL
from livegift.contract.errors import ConfigError, LivegiftError
from livegift.runtime import lifeline, logs
from livegift.runtime.bounds import DRAIN_TIMEOUT_S
from livegift.runtime.identity import Tokens, tokens_of
from livegift.runtime.settings import load_settings

log = structlog.get_logger()

GIFTS_PER_S = 3.0  # of the whole crowd, however large, so that the page stays readable
VIEWERS_MAX = 200
TOP_UP_COINS = 100_000
LOW_COINS = 40_000  # the most expensive gift of the default catalogue costs 34,999
TOKEN_TTL_S = 3600
STAY_MIN_S, STAY_MAX_S = 600.0, 1800.0
HTTP_TIMEOUT_S, OPEN_TIMEOUT_S, CLOSE_TIMEOUT_S = 5.0, 5.0, 1.0
ANSWER_BYTES_MAX, FRAME_BYTES_MAX = 64 * 1024, 1024 * 1024
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.5, 10.0
TAP_MIN_S, TAP_MAX_S = 0.25, 0.7
MESSAGE_SHARE = 0.3
assert STAY_MAX_S + OPEN_TIMEOUT_S < TOKEN_TTL_S  # noqa: S101 - nobody stays until the token expires
assert HTTP_TIMEOUT_S + CLOSE_TIMEOUT_S < DRAIN_TIMEOUT_S  # noqa: S101 - requests end before we are killed

NAMES = ("Mia", "Noah", "Yuki", "Omar", "Lena", "Kofi", "Ines", "Raj", "Zoe", "Luca", "Anna", "Tariq")
MESSAGES = ("Hello from the sea!", "This song!", "Love it", "First time here", "Encore!", "You made my day", "👏👏👏")
# Gift -> its weight, and the least and the most that are sent in a row.
ACTS = {
    "rose": (50, 4, 12),
    "heart": (25, 2, 6),
    "coffee": (8, 1, 3),
    "sunglasses": (4, 1, 2),
    "balloon": (3, 1, 1),
    "fireworks": (1, 1, 1),
    "universe": (0.2, 1, 1),
}
WEIGHTS = [weight for weight, _, _ in ACTS.values()]
SENDS_PER_ACT = sum(weight * (least + most) / 2 for weight, least, most in ACTS.values()) / sum(WEIGHTS)

chance = random.Random()  # noqa: S311 - not a secret


class AwayError(Exception):
    """The server can't be used at the moment; the message says why. Viewers come back later."""


# Errors on the client's side when a server stops, restarts or is overloaded.
AWAY = (AwayError, OSError, TimeoutError, HTTPException, WebSocketException, ValueError, KeyError)


def post(url: str, body: object, token: str | None = None) -> Any:
    """Send a request and return the decoded answer.

    Raises AwayError for a refusal, else OSError, HTTPException or ValueError.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - `main` has checked it
    # Not through the environment's proxies: the server is ours, mostly on the loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=HTTP_TIMEOUT_S) as response:
            return json.loads(response.read(ANSWER_BYTES_MAX))
    except HTTPError as error:
        with error:
            raise AwayError(f"{urlsplit(url).path}: {error.read(200).decode(errors='replace')}") from None


class Crowd:
    """The viewers' shared state: the address, the room, and a log of what changes for all of them."""

    def __init__(self, url: str, tokens: Tokens, room: str, viewers: int) -> None:
        """Create the viewers. `url` is the server's HTTP address without a path."""
        self.url, self.tokens, self.room = url, tokens, room
        # A viewer's pause between two acts, chosen so that all of them together send GIFTS_PER_S.
        act_s = (SENDS_PER_ACT - 1) * (TAP_MIN_S + TAP_MAX_S) / 2
        self.pause_s = max(viewers * SENDS_PER_ACT / GIFTS_PER_S - act_s, TAP_MAX_S)
        self._viewers = [SimulatedViewer(self, number) for number in range(viewers)]
        self._away = set(self._viewers)
        self._said = ""

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises the exception of a viewer's task that died, which is a bug."""
        everybody = asyncio.gather(*(viewer.run() for viewer in self._viewers))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, everybody.cancel)
        with suppress(asyncio.CancelledError):
            await everybody

    def came(self, viewer: "SimulatedViewer") -> None:
        """Record that `viewer` is in the room."""
        self._away.discard(viewer)
        if not self._away and self._said != "watching":
            self._said = "watching"
            log.info("crowd.watching", room=self.room, viewers=len(self._viewers))

    def went(self, viewer: "SimulatedViewer", why: BaseException) -> None:
        """Record that `viewer` was disconnected or can't connect."""
        self._away.add(viewer)
        if self._said != "away":
            self._said = "away"
            log.warning("crowd.away", error=str(why) or type(why).__name__)


class SimulatedViewer:
    """A viewer, with one connection at a time."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        """Choose a name; names repeat when there are more viewers than names."""
        self.user, self._name = f"crowd-{number + 1}", NAMES[number % len(NAMES)]
        self._crowd, self._balance, self._back_off_s = crowd, 0, BACK_OFF_MIN_S

    async def run(self) -> None:
        """Connect, stay a while, leave, come back; after each failure, wait longer."""
        while True:
            try:
                await self._visit()
            except AWAY as error:
                self._crowd.went(self, error)
                await asyncio.sleep(self._back_off_s * chance.uniform(0.5, 1))
                self._back_off_s = min(self._back_off_s * 2, BACK_OFF_MAX_S)

    async def _visit(self) -> None:
        """Run one connection, from hello to leaving."""
        crowd, url = self._crowd, f"{self._crowd.url}/v1/rooms"
        creator = crowd.tokens.sign("demo-creator", "creator", name="Demo creator")
        with suppress(AwayError):  # somebody else's room will do; joining shows whether it can be used
            await asyncio.to_thread(post, url, {"id": crowd.room, "title": "The demo room"}, creator)
        connecting = connect(
            crowd.url.replace("http", "ws", 1) + "/v1/ws",
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=None,
            max_size=FRAME_BYTES_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
        )
        async with connecting as socket:
            token = crowd.tokens.sign(self.user, name=self._name, age_verified=True, ttl_s=TOKEN_TTL_S)
            await self._ask(socket, {"type": "hello", "token": token}, "welcome")
            await self._ask(socket, {"type": "room.join", "room": crowd.room}, "room.snapshot")
            crowd.came(self)
            self._back_off_s = BACK_OFF_MIN_S
            leaves_at = time.monotonic() + chance.uniform(STAY_MIN_S, STAY_MAX_S)
            for pause_s, gift in self._gifts():
                await self._watch(socket, pause_s)
                if time.monotonic() > leaves_at:
                    return
                await self._top_up()
                if self._balance:
                    await socket.send(json.dumps(gift))

    def _gifts(self) -> Iterator[tuple[float, dict[str, str]]]:
        """Yield, without end, how many seconds to wait and the command to send then."""
        pause_s = self._crowd.pause_s * chance.random()  # only part of the first pause: the room is busy from the start
        while True:
            ((gift_id, (_, least, most)),) = chance.choices(list(ACTS.items()), WEIGHTS)
            for _ in range(chance.randint(least, most)):
                gift = {"type": "gift.send", "ref": token_hex(12), "room": self._crowd.room, "gift_id": gift_id}
                if chance.random() < MESSAGE_SHARE:
                    gift["message"] = chance.choice(MESSAGES)
                yield pause_s, gift
                pause_s = chance.uniform(TAP_MIN_S, TAP_MAX_S)
            pause_s = self._crowd.pause_s * chance.uniform(0.2, 1.8)

    async def _ask(self, socket: ClientConnection, command: dict[str, str], answer: str) -> None:
        await socket.send(json.dumps(command))
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            while self._take(await socket.recv()) != answer:
                continue

    async def _watch(self, socket: ClientConnection, for_s: float) -> None:
        """Read what arrives, so that the server need not keep it."""
        until = time.monotonic() + for_s
        while (left_s := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    message = await socket.recv()
            except TimeoutError:
                return
            self._take(message)

    def _take(self, message: str | bytes) -> str:
        """Handle one frame and return its type. Raises AwayError when the room can't be used."""
        frame = json.loads(message)
        kind, code = str(frame["type"]), frame.get("code")
        if kind in ("welcome", "wallet", "gift.result"):
            self._balance = frame.get("balance", self._balance)
        is_over = code == "room_ended" or (kind == "room.snapshot" and frame.get("status") != "live")
        if is_over or (kind == "error" and "ref" not in frame):
            raise AwayError("the room has ended" if is_over else f"{code}: {frame.get('message')}")
        return kind

    async def _top_up(self) -> None:
        """Get coins before they run out. A viewer who gets none goes on watching and asks again."""
        if self._balance < LOW_COINS:
            url, body = f"{self._crowd.url}/demo/coins", {"user": self.user, "coins": TOP_UP_COINS}
            with suppress(*AWAY):
                self._balance += (await asyncio.to_thread(post, url, body))["coins"]


@click.command()
@click.option("--url", required=True, help="http://HOST:PORT of `livegift dev`")
@click.option("--viewers", type=click.IntRange(1, VIEWERS_MAX), default=12, show_default=True)
@click.option("--room", default="demo", show_default=True)
def main(url: str, viewers: int, room: str) -> None:
    """Send gifts into a demo room until stopped."""
    lifeline.hold()
    try:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--url: expected http://HOST:PORT, got {url!r}")
        settings = load_settings(())  # the core's: no feature is loaded for them
        tokens = tokens_of(settings)
    except LivegiftError as error:
        raise click.ClickException(str(error)) from None
    logs.configure(settings.log_format, "crowd", settings.log_level)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # `crowd.away` says it; the library adds tracebacks
    try:
        asyncio.run(Crowd(url.rstrip("/"), tokens, room, viewers).run())
    except Exception as error:  # noqa: BLE001 - `livegift dev` restarts it; a traceback would only hide the demo
        log.error("crowd.failed", error=repr(error))
        sys.exit(1)
    log.info("crowd.stopped")


if __name__ == "__main__":
    main()
