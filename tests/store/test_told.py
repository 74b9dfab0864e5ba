"""What a room remembers of what features tell it is bounded, and goes with the room."""

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


def keep(room: LiveRoom, key: str, version: int, *, over: bool = False, settled_ms: int = ROOM_KEPT_SETTLED_MS) -> int:
    body = b'"type":"tally","key":"%b","version":%d}' % (key.encode(), version)
    is_over = "1" if over else "0"
    reply: int = room.run(
        *room_keep(room.root, 100, TOP_GIFTERS, "polls", key, version, is_over, body, 2, settled_ms, "1")
    )
    return reply


def kept(room: LiveRoom) -> list[tuple[str, int]]:
    return [(value["key"], value["version"]) for value in room.header()["kept"].get("polls", ())]


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


def test_an_ended_room_is_told_what_may_come_then_and_goes_with_it(room: LiveRoom, client: redis.Redis) -> None:
    keep(room, "a", 1)
    tell(room, "a")
    room.run(*room_announce(room.root, 100, TOP_GIFTERS, b'"type":"room"}', "ended", ROOM_IDLE_TTL_S))
    with pytest.raises(redis.ResponseError, match="ENDED"):
        tell(room, "b")
    assert tell(room, "b", when_ended=True) == 1
    assert keep(room, "a", 2) == 1
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
