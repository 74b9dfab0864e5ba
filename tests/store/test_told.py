"""What a room remembers of what features tell it is bounded, and goes with the room."""

import random
from typing import Any

import pytest
import redis

from livegift.contract.bounds import TOP_GIFTERS
from livegift.runtime.bounds import ROOM_IDLE_TTL_S, ROOM_KEPT_SETTLED_MS
from livegift.store.functions.rooms import room_announce, room_keep, room_tell
from tests.store.test_rooms import LiveRoom


@pytest.fixture
def room(client: redis.Redis) -> LiveRoom:
    opened = LiveRoom(client)
    opened.run(*room_announce(opened.root, 100, TOP_GIFTERS, b'"type":"room"}', "opened", 0))
    return opened


def tell(room: LiveRoom, event_id: str, *, when_ended: bool = False) -> int:
    body = b'"type":"shout","id":"%b"}' % event_id.encode()
    reply: int = room.run(*room_tell(room.root, 100, TOP_GIFTERS, event_id, body, 3, "1" if when_ended else "0"))
    return reply


def keep(
    room: LiveRoom,
    key: str,
    version: int,
    *,
    over: bool = False,
    settled_ms: int = ROOM_KEPT_SETTLED_MS,
    values_max: int = 2,
    shown: bytes = b"",
    when_unknown: bool = False,
) -> int:
    body = b'"type":"tally","key":"%b","version":%d}' % (key.encode(), version)
    command = room_keep(
        room.root,
        log_max=100,
        top_size=TOP_GIFTERS,
        part="polls",
        value_key=key,
        version=version,
        is_over="1" if over else "0",
        body=body,
        shown=shown,
        values_max=values_max,
        settled_ms=settled_ms,
        when_ended="1",
        when_unknown="1" if when_unknown else "0",
    )
    reply: int = room.run(*command)
    return reply


def kept(room: LiveRoom) -> list[tuple[str, int]]:
    return [(value["key"], value["version"]) for value in room.header()["kept"].get("polls", ())]


def end(room: LiveRoom) -> None:
    room.run(*room_announce(room.root, 100, TOP_GIFTERS, b'"type":"room"}', "ended", ROOM_IDLE_TTL_S))


def names(client: redis.Redis, key: str) -> set[str]:
    found: Any = client.hkeys(key)
    return {name if isinstance(name, str) else name.decode() for name in found}


def test_an_id_is_known_while_it_is_among_the_last(room: LiveRoom, client: redis.Redis) -> None:
    assert [tell(room, event_id) for event_id in "abcacd"] == [1, 1, 1, 0, 0, 1]
    assert client.zcard(f"{room.root}:told") == 3
    assert [tell(room, event_id) for event_id in "bda"] == [0, 0, 1]
    assert [event.get("id") for event in room.log()] == [None, "a", "b", "c", "d", "a"]


def test_a_room_that_nobody_has_opened_is_told_nothing(client: redis.Redis) -> None:
    unknown = LiveRoom(client)
    with pytest.raises(redis.ResponseError, match="UNKNOWN"):
        tell(unknown, "a")
    with pytest.raises(redis.ResponseError, match="UNKNOWN"):
        keep(unknown, "a", 1)
    assert client.keys(f"{unknown.root}:*") == []


def test_who_knows_that_there_is_a_room_can_tell_it_first(client: redis.Redis) -> None:
    unknown = LiveRoom(client)
    assert keep(unknown, "a", 1, when_unknown=True) == 1
    assert kept(unknown) == [("a", 1)]
    assert unknown.header()["totals"] == {"gifts": 0, "coins": 0, "diamonds": 0, "gifters": 0}


def test_the_latest_is_shown_by_key_and_told_once(room: LiveRoom) -> None:
    assert room.header()["kept"] == {}
    assert [keep(room, "k1", version) for version in (0, 5, 5, 3, 9)] == [1, 1, 0, 0, 1]
    assert keep(room, "k0", 4) == 1
    assert kept(room) == [("k0", 4), ("k1", 9)]
    told = [(event["key"], event["version"]) for event in room.log() if event["type"] == "tally"]
    assert told == [("k1", 0), ("k1", 5), ("k1", 9), ("k0", 4)]


def test_what_is_shown_can_be_less_than_the_event(room: LiveRoom) -> None:
    assert keep(room, "a", 1, shown=b'"key":"a"}') == 1
    assert room.header()["kept"] == {"polls": [{"key": "a"}]}
    event = room.log()[-1]
    assert (event["type"], event["key"], event["version"]) == ("tally", "a", 1)


def test_what_is_over_does_not_come_back(room: LiveRoom) -> None:
    assert keep(room, "a", 7, over=True) == 1
    assert [keep(room, "a", 7), keep(room, "a", 6)] == [0, 0]
    assert kept(room) == []
    assert keep(room, "a", 8, over=True) == 1
    assert kept(room) == []


def test_in_any_order_the_latest_stays(room: LiveRoom) -> None:
    news = [(version, False) for version in range(9)] + [(9, True)]
    rng = random.Random("kept")  # noqa: S311 - repeatable on purpose
    for n in range(20):
        order = rng.choices(news, k=30)
        for version, over in order:
            keep(room, f"k{n}", version, over=over, values_max=20)
        version, over = max(order)
        assert dict(kept(room)).get(f"k{n}") == (None if over else version)


def test_those_that_are_over_are_forgotten_some_day(room: LiveRoom, client: redis.Redis) -> None:
    key = f"{room.root}:kept"
    assert keep(room, "k1", 1, over=True) == 1
    client.hset(key, "polls old", b'2 1 1000 "key":"old"}')
    client.hset(key, "polls k2", b'2 0 1000 "key":"k2","version":2}')
    assert keep(room, "k3", 5, over=True, values_max=9) == 1
    assert names(client, key) == {"polls k1", "polls k2", "polls k3"}


def test_an_ended_room_is_told_what_may_come_then_and_goes_with_it(room: LiveRoom, client: redis.Redis) -> None:
    keep(room, "a", 1)
    tell(room, "a")
    end(room)
    assert kept(room) == []
    with pytest.raises(redis.ResponseError, match="ENDED"):
        tell(room, "b")
    assert tell(room, "b", when_ended=True) == 1
    assert keep(room, "a", 2) == 1, "who still watches sees it"
    assert kept(room) == []
    for suffix in ("told", "kept"):
        assert 0 < client.ttl(f"{room.root}:{suffix}") <= ROOM_IDLE_TTL_S  # type: ignore[operator]


def test_a_lower_version_is_believed_when_what_is_there_is_settled(room: LiveRoom) -> None:
    assert [keep(room, "a", version) for version in (10**13, 5)] == [1, 0]
    assert kept(room) == [("a", 10**13)]
    assert keep(room, "a", 5, settled_ms=-1) == 1
    assert kept(room) == [("a", 5)]


def test_values_that_are_over_are_forgotten_when_there_are_many(room: LiveRoom, client: redis.Redis) -> None:
    for n in range(9):
        assert keep(room, f"k{n}", 1, over=True) == 1
    assert len(names(client, f"{room.root}:kept")) <= 3
    assert [keep(room, key, 1) for key in "ab"] == [1, 1]
    with pytest.raises(redis.ResponseError, match="FULL"):
        keep(room, "c", 1)
    assert keep(room, "a", 2, over=True) == 1
    assert keep(room, "c", 1) == 1
    assert kept(room) == [("b", 1), ("c", 1)]
