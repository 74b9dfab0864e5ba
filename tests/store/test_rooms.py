"""Rooms in Redis: exact whatever relays repeat, numbered without holes, and as far back as the log reaches."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
import redis
from hypothesis import given, settings

from livegift.contract.bounds import TOP_GIFTERS
from livegift.dev.embedded import RedisServer
from livegift.domain.partitions import Position
from livegift.runtime.bounds import ROOM_IDLE_TTL_S
from livegift.store import rooms as store_rooms
from livegift.store.client import Store
from livegift.store.functions.rooms import room_announce, room_pulse, room_snapshot, room_totals
from livegift.store.keys import room_channel, room_root
from livegift.store.rooms import Publication, Rooms, publish
from tests.store.publications import Model, deliveries, publication
from tests.waiting import wait_until

_rooms = itertools.count(1)


class LiveRoom:
    """One room in Redis under a name of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.id = f"room-{next(_rooms)}"
        self.root = room_root(self.id)

    def run(self, *command: Any) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def publish(self, items: list[Publication]) -> int:
        count: int = self.run(*publish(self.id, items))
        return count

    def header(self, top: int = TOP_GIFTERS) -> dict[str, Any]:
        header: dict[str, Any] = orjson.loads(self.run(*room_snapshot(self.root, top, "", "", 0))[0])
        return header

    def log(self) -> list[dict[str, Any]]:
        """The log's events; the ids of its entries must be their numbers."""
        rows = self.run("XRANGE", f"{self.root}:log", "-", "+")
        events = [orjson.loads(fields[1]) for _, fields in rows]
        epoch = self.header()["epoch"]
        assert [entry_id.decode() for entry_id, _ in rows] == [f"{epoch}-{event['seq']}" for event in events]
        return events


@pytest.fixture
def room(client: redis.Redis) -> LiveRoom:
    return LiveRoom(client)


@pytest.fixture
def listener(redis_server: RedisServer, room: LiveRoom) -> Iterator[redis.client.PubSub]:
    """Subscribed to the room."""
    with closing(redis.Redis.from_url(redis_server.url, protocol=2)) as connected:
        pubsub = connected.pubsub()  # type: ignore[no-untyped-call]
        with closing(pubsub):
            pubsub.ssubscribe(room_channel(room.id))
            assert next_message(pubsub)["type"] == "ssubscribe"
            yield pubsub


def next_message(pubsub: redis.client.PubSub) -> dict[str, Any]:
    message = pubsub.get_sharded_message(timeout=10)
    assert message is not None, "nothing came"
    return dict(message)


def heard(pubsub: redis.client.PubSub, room: LiveRoom) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(header, events) of each message so far."""
    room.run("SPUBLISH", room_channel(room.id), "sentinel")
    found = []
    while (data := next_message(pubsub)["data"]) != b"sentinel":
        header, *events = map(orjson.loads, data.split(b"\n"))
        found.append((header, events))
    return found


def assert_is(room: LiveRoom, model: Model) -> None:
    header = room.header()
    assert (header["seq"], header["totals"]) == (len(model.events), model.totals_json)
    assert header["top"] == model.top_json
    assert sorted(header["combos"], key=str) == sorted(model.combos.values(), key=str)
    assert room.log() == model.events
    gifts, coins, diamonds, *marks = room.run(*room_totals(room.root))
    assert [int(gifts), int(coins), int(diamonds)] == model.totals
    found = {int(marks[i]): Position.parse(marks[i + 1].decode()) for i in range(0, len(marks), 2)}
    assert found == model.marks


# --- Publishing -------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(deliveries())
def test_what_relays_repeat_changes_nothing(
    client: redis.Redis, delivered: tuple[list[list[Publication]], list[Publication]]
) -> None:
    calls, everything = delivered
    room, model = LiveRoom(client), Model()
    for items in calls:
        assert room.publish(items) == model.publish(items)
        assert_is(room, model)
    once = Model()
    once.publish(everything)
    assert (model.totals, model.gifters, model.combos) == (once.totals, once.gifters, once.combos)


@settings(max_examples=20, deadline=None)
@given(deliveries())
def test_every_call_publishes_its_new_events_once(
    client: redis.Redis, redis_server: RedisServer, delivered: tuple[list[list[Publication]], list[Publication]]
) -> None:
    room, model = LiveRoom(client), Model()
    with closing(redis.Redis.from_url(redis_server.url, protocol=2)) as connected:
        pubsub = connected.pubsub()  # type: ignore[no-untyped-call]
        with closing(pubsub):
            pubsub.ssubscribe(room_channel(room.id))
            next_message(pubsub)
            for items in delivered[0]:
                before = len(model.events)
                room.publish(items)
                model.publish(items)
                new = model.events[before:]
                expected = {"epoch": room.header()["epoch"], "first_seq": before + 1, "seq": len(model.events)}
                expected |= {"totals": model.totals_json, "top": model.top_json}
                assert heard(pubsub, room) == ([(expected, new)] if new else [])


def test_the_same_batch_twice_counts_once(room: LiveRoom) -> None:
    items = [publication(1, "ann"), publication(2, "bob"), publication(4, "ann", partition=1)]
    assert [room.publish(items), room.publish(items)] == [3, 0]
    assert room.header()["totals"] == {"gifts": 3, "coins": 15, "diamonds": 30, "gifters": 2}


def test_an_epoch_that_begins_again_at_a_higher_n_goes_on(room: LiveRoom) -> None:
    assert room.publish([publication(5, epoch=1)]) == 1
    assert room.publish([publication(4, epoch=1), publication(5, epoch=1), publication(6, epoch=2)]) == 1
    assert room.publish([publication(9, epoch=1)]) == 0, "an old epoch never comes back"


def test_positions_are_compared_as_numbers(room: LiveRoom) -> None:
    assert room.publish([publication(9), publication(10), publication(100)]) == 3
    assert room.publish([publication(99), publication(100), publication(101)]) == 1
    assert room.publish([publication(102, epoch=10), publication(103, epoch=9)]) == 1


def test_totals_stay_exact_beyond_the_ceiling_of_one_amount(room: LiveRoom) -> None:
    room.publish([publication(n, "ann" if n % 2 else "bob", 10**13) for n in range(1, 101)])
    room.publish([publication(101, "bob", 1)])
    header = room.header()
    assert header["totals"] == {"gifts": 101, "coins": 10**15 + 1, "diamonds": 2 * 10**15 + 2, "gifters": 2}
    assert [(row["user"]["id"], row["coins"]) for row in header["top"]] == [
        ("bob", 5 * 10**14 + 1),
        ("ann", 5 * 10**14),
    ]


def test_an_anonymous_gift_counts_but_names_nobody(room: LiveRoom) -> None:
    room.publish([publication(1, "ann", 500, anonymous=True), publication(2, "bob", 5)])
    room.publish([publication(3, "ann", 7), publication(4, "cyd", 900, anonymous=True)])
    header = room.header()
    assert header["totals"] == {"gifts": 4, "coins": 1412, "diamonds": 2824, "gifters": 2}
    assert [(row["user"]["id"], row["coins"], row["rank"]) for row in header["top"]] == [("ann", 7, 1), ("bob", 5, 2)]
    assert "cyd" not in str(header)


def test_nothing_but_the_sums_tells_of_an_anonymous_gift(room: LiveRoom) -> None:
    """Neither whether its sender is new here nor, later, who has given before."""
    room.publish([publication(1, "ann", 5), publication(2, "bob", 5), publication(3, "cyd", 5)])
    before = room.header()
    for n, user in enumerate(("ann", "bob", "cyd", "dan"), 4):
        room.publish([publication(n, user, 700, anonymous=True)])
        after = room.header()
        assert after["top"] == before["top"], f"{user} has moved"
        assert after["totals"]["gifters"] == before["totals"]["gifters"], f"{user} was counted"
    room.publish([publication(8, "dan", 1)])
    assert room.header()["totals"]["gifters"] == 4, "as of anybody who is new"


def test_the_top_is_as_long_as_asked_for(room: LiveRoom) -> None:
    room.publish([publication(n, f"user-{n:02}", n) for n in range(1, 31)])
    top = room.header()["top"]
    assert [(row["user"]["id"], row["rank"]) for row in top] == [
        (f"user-{30 - i:02}", i + 1) for i in range(TOP_GIFTERS)
    ]
    assert room.header(top=3)["top"] == top[:3]


def test_the_newest_name_is_shown(room: LiveRoom) -> None:
    room.publish([publication(1, "ann"), publication(2, "ann")])
    room.publish([publication(3, "ann", anonymous=True)])
    assert [row["user"]["name"] for row in room.header()["top"]] == ["ann of 0-1-2"]


def test_open_combos_are_in_the_snapshot_until_they_end(room: LiveRoom) -> None:
    room.publish([publication(1, combo="a"), publication(2, combo="b"), publication(3, combo="a")])
    assert sorted((c["combo_id"], c["id"]) for c in room.header()["combos"]) == [("a", "0-1-3"), ("b", "0-1-2")]
    room.publish(
        [publication(4, combo="a", ends=True), publication(5, combo="c"), publication(6, combo="c", ends=True)]
    )
    assert [c["combo_id"] for c in room.header()["combos"]] == ["b"]
    room.publish([publication(1, combo="a"), publication(3, combo="a")])
    assert [c["combo_id"] for c in room.header()["combos"]] == ["b"], "a repetition opens nothing"


# --- Snapshots with `since` -------------------------------------------------------------------------------------------


async def test_a_snapshot_has_what_came_since(store: Store) -> None:
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(n) for n in range(1, 11)]))
    epoch = str(orjson.loads((await rooms.snapshot("r1")).header)["epoch"])
    for since in (0, 1, 9, 10):
        for since_epoch in ("", epoch):
            snapshot = await rooms.snapshot("r1", since, since_epoch)
            assert snapshot.complete
            assert [orjson.loads(event)["seq"] for event in snapshot.events] == list(range(since + 1, 11))
            assert orjson.loads(snapshot.header)["seq"] == 10
    snapshot = await rooms.snapshot("r1")
    assert (snapshot.complete, snapshot.events) == (True, ())


async def test_a_snapshot_is_not_complete_for_another_life_of_the_room(store: Store) -> None:
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(n) for n in range(1, 4)]))
    epoch = orjson.loads((await rooms.snapshot("r1")).header)["epoch"]
    snapshot = await rooms.snapshot("r1", 1, str(epoch - 1))
    assert (snapshot.complete, snapshot.events) == (False, ())
    assert orjson.loads(snapshot.header)["epoch"] == epoch


async def test_what_was_trimmed_makes_a_snapshot_incomplete(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rooms, "ROOM_LOG_EVENTS_MAX", 50)
    rooms = Rooms(store)
    for start in range(1, 400, 100):
        await store.call(publish("r1", [publication(n) for n in range(start, start + 100)]))
    kept = await store.call_plain("r1", ("XLEN", f"{room_root('r1')}:log"))
    assert 50 <= kept < 400
    first_kept = 400 - kept + 1
    for since, complete in ((0, False), (1, False), (first_kept - 2, False), (first_kept - 1, True), (399, True)):
        snapshot = await rooms.snapshot("r1", since)
        assert snapshot.complete is complete
        assert len(snapshot.events) == (400 - since if complete else 0)


async def test_more_than_a_replay_takes_makes_a_snapshot_incomplete(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_rooms, "REPLAY_EVENTS_MAX", 10)
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(n) for n in range(1, 31)]))
    for since, complete in ((19, False), (20, True), (21, True)):
        snapshot = await rooms.snapshot("r1", since)
        assert (snapshot.complete, len(snapshot.events)) == (complete, 30 - since if complete else 0)


# --- Announcements, heads ---------------------------------------------------------------------------------------------


async def test_an_announcement_comes_once(store: Store) -> None:
    rooms = Rooms(store)
    bodies = [f'"type":"room","id":"{number}"}}'.encode() for number in range(3)]
    assert await rooms.announce("r1", bodies[0], "opened")
    assert not await rooms.announce("r1", bodies[1], "opened")
    assert await rooms.announce("r1", bodies[2], "ended", ended=True)
    assert not await rooms.announce("r1", bodies[2], "ended", ended=True)
    assert await rooms.announce("r2", bodies[1], "opened"), "another room has its own"
    events = [orjson.loads(event) for event in (await rooms.snapshot("r1", 0)).events]
    assert events == [{"seq": 1, "type": "room", "id": "0"}, {"seq": 2, "type": "room", "id": "2"}]
    assert (await rooms.totals("r1")).gifts == 0


def test_an_announcement_is_published_and_numbered_between_gifts(room: LiveRoom, listener: redis.client.PubSub) -> None:
    room.publish([publication(1)])
    for _ in range(2):
        room.run(*room_announce(room.root, 100, TOP_GIFTERS, '"type":"room","id":"x"}', "once", 0))
    room.publish([publication(2)])
    assert [(h["first_seq"], h["seq"], [e["type"] for e in events]) for h, events in heard(listener, room)] == [
        (1, 1, ["gift"]),
        (2, 2, ["room"]),
        (3, 3, ["gift"]),
    ]


async def expiries(store: Store, room: str) -> dict[bytes, int]:
    names = await store.call_plain(room, ("KEYS", f"{room_root(room)}:*"))
    return {name: await store.call_plain(room, ("TTL", name)) for name in names}


async def test_a_room_is_kept_until_it_has_ended_and_a_while_longer(store: Store) -> None:
    rooms = Rooms(store)
    await rooms.announce("r1", b'"type":"room"}', "opened")
    await store.call(publish("r1", [publication(1, combo="a")]))
    assert set((await expiries(store, "r1")).values()) == {-1}
    await rooms.announce("r1", b'"type":"room"}', "ended", ended=True)
    kept = await expiries(store, "r1")
    assert len(kept) == 8
    assert all(0 < ttl_s <= ROOM_IDLE_TTL_S for ttl_s in kept.values())


async def test_what_is_published_after_the_end_expires_as_well(store: Store) -> None:
    """A gift that was accepted just before the end reaches the room just after it."""
    rooms = Rooms(store)
    await rooms.announce("r1", b'"type":"room"}', "ended", ended=True)
    await store.call(publish("r1", [publication(1, combo="a")]))
    assert (await rooms.totals("r1")).gifts == 1
    kept = await expiries(store, "r1")
    assert {name: ttl_s for name, ttl_s in kept.items() if ttl_s == -1} == {}


async def test_the_head_of_a_room_is_its_epoch_and_last_number(store: Store) -> None:
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(1), publication(2)]))
    await rooms.announce("r2", b'"type":"room"}', "opened")
    heads = await rooms.heads(["r1", "r2", "nowhere"])
    epoch = orjson.loads((await rooms.snapshot("r1")).header)["epoch"]
    assert heads["r1"] == (epoch, 2)
    assert heads["r2"][1] == 1
    assert heads["nowhere"][1] == 0
    assert await expiries(store, "nowhere") == {}


# --- Presence ---------------------------------------------------------------------------------------------------------


async def test_viewers_of_all_processes_are_added_up(store: Store) -> None:
    rooms = Rooms(store)
    assert await rooms.pulse("web-1", {"r1": 3, "r2": 1}) == {"r1": 3, "r2": 1}
    assert await rooms.pulse("web-2", {"r1": 4}) == {"r1": 7}
    assert await rooms.pulse("web-1", {"r1": 5}) == {"r1": 9}, "the latest count of each"
    assert await rooms.pulse("web-2", {"r1": 0}) == {"r1": 5}
    assert await rooms.pulse("web-1", {"r1": 0, "r2": 0}) == {"r1": 0, "r2": 0}
    assert await expiries(store, "r1") == {}


async def test_a_process_that_died_is_not_counted_for_long(store: Store) -> None:
    rooms = Rooms(store)
    await rooms.pulse("web-1", {"r1": 3})

    async def alone() -> bool:
        return bool(await store.call(room_pulse(room_root("r1"), "web-2", 4, 1)) == 4)

    await wait_until(alone, "web-1 was last heard of more than a millisecond ago")
    assert set((await expiries(store, "r1")).values()) != {-1}
