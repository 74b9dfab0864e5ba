"""Publishes gifts' events through Redis at a fixed rate, in the way each server takes them from there.

- `livegift`: the function that the relay calls; what is due together goes in one call.
- `plain`: PUBLISH, an event each, for servers that subscribe to CHANNEL.
- `socketio`: PUBLISH of what the Redis adapter's emitter sends, an event each.

All of them show the same event. Its id tells when it was *meant* to be sent (ns of the monotonic clock). Prints a JSON
object. The Redis URL is LIVEGIFT_REDIS_URL.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence

import msgspec
import orjson
import uvloop

from livegift.contract.events import details_json, gift_event, user_json
from livegift.contract.journal import GiftSent
from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.domain.partitions import Position
from livegift.store.client import Store
from livegift.store.link import Command
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Publication, publish

CHANNEL = "bench:events"
SOCKETIO_ROOM = "bench"
PARTITION = 10_000  # no wallet's: nothing else publishes from it
EPOCH = 1
SENDERS = 100
DEADLINE_S = 10.0
TICK_S = 0.005
ROSE = next(gift for gift in DEFAULT_GIFTS if gift.id == "rose")


def gift(number: int, meant_at_ns: int) -> tuple[bytes, bytes, str]:
    """An event as the journal carries it, its sender as JSON, and its sender's id."""
    user = f"sender-{number % SENDERS}"
    sender = user_json(user, user.title(), None)
    sent = GiftSent(
        user=user,
        wallet_seq=number,
        balance=0,
        ref="",
        room=SOCKETIO_ROOM,
        to="creator",
        gift_id=ROSE.id,
        count=1,
        coins=ROSE.coins,
        diamonds=ROSE.diamond_count,
        combo_id=f"c-{number % SENDERS}",
        repeat_count=1 + number // SENDERS,
        repeat_end=False,
        anonymous=False,
        ts_ms=time.time_ns() // 1_000_000,
        user_json=msgspec.Raw(sender),
        details_json=msgspec.Raw(details_json("creator", "Creator", ROSE)),
        message_json=msgspec.Raw(b"null"),
    )
    return gift_event(f"t-{meant_at_ns}-{number}", sent.combo_id, sent), sender, user


def for_livegift(room: str, due: Sequence[tuple[int, int]]) -> list[Command]:
    """One call for all that is due."""
    publications = []
    for number, meant_at_ns in due:
        body, sender, user = gift(number, meant_at_ns)
        publications.append(
            Publication(
                partition=PARTITION,
                position=Position(EPOCH, number + 1),
                kind="gift",
                coins=ROSE.coins,
                diamonds=ROSE.diamond_count,
                user=user,
                anonymous=False,
                user_json=sender,
                combo_id=f"c-{number % SENDERS}",
                body=body,
                ts_ms=meant_at_ns // 1_000_000,
                incarnation=Incarnation(EPOCH, 1),
            )
        )
    return [publish(room, publications)]


def plain(_: str, due: Sequence[tuple[int, int]]) -> list[Command]:
    """An event a message."""
    return [("PUBLISH", CHANNEL, b'{"seq":%d,%b' % (number, gift(number, at)[0])) for number, at in due]


def for_socketio(_: str, due: Sequence[tuple[int, int]]) -> list[Command]:
    """As @socket.io/redis-emitter sends it: [uid, packet, options]."""
    commands: list[Command] = []
    for number, at in due:
        event = orjson.loads(b'{"seq":%d,%b' % (number, gift(number, at)[0]))
        packet = {"type": 2, "data": ["event", event], "nsp": "/"}
        options = {"rooms": [SOCKETIO_ROOM], "except": [], "flags": {}}
        body = msgspec.msgpack.encode(["emitter", packet, options])
        commands.append(("PUBLISH", f"socket.io#/#{SOCKETIO_ROOM}#", body))
    return commands


WAYS: dict[str, Callable[[str, Sequence[tuple[int, int]]], list[Command]]] = {
    "livegift": for_livegift,
    "plain": plain,
    "socketio": for_socketio,
}


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Publish `per_s` events a second for `seconds`."""
    store = await Store.connect(os.environ["LIVEGIFT_REDIS_URL"])
    link = await store.nodes[0].link().open()
    way, first = WAYS[options.way], options.first
    total = int(options.per_s * options.seconds)
    begin_ns, gap_ns = time.monotonic_ns() + 50_000_000, int(1e9 / options.per_s)
    sent, late_ms = 0, 0.0
    while sent < total:
        now_ns = time.monotonic_ns()
        due_count = min((now_ns - begin_ns) // gap_ns + 1, total) - sent
        if due_count <= 0:
            await asyncio.sleep(min((begin_ns + sent * gap_ns - now_ns) / 1e9, TICK_S))
            continue
        due = [(first + sent + i, begin_ns + (sent + i) * gap_ns) for i in range(due_count)]
        late_ms = max(late_ms, (now_ns - due[0][1]) / 1e6)
        for reply in await link.exchange(way(options.room, due), DEADLINE_S):
            if isinstance(reply, Exception):
                raise reply
        sent += due_count
        await asyncio.sleep(TICK_S)
    took_s = (time.monotonic_ns() - begin_ns) / 1e9
    await link.close()
    await store.aclose()
    return {"events": sent, "seconds": took_s, "late_ms_max": late_ms, "cpu_s": time.process_time()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--room", default="bench")
    parser.add_argument("--per-s", type=float, required=True, help="events a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first event, above those of earlier runs")
    print(orjson.dumps(uvloop.run(main(parser.parse_args()))).decode())
