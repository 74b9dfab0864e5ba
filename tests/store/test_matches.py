"""What a room shows of sponsor matches: the latest, whatever comes late, twice or never."""

import random
from typing import Any

import orjson
import pytest
import redis

from livegift.runtime.bounds import MATCH_SETTLED_MS, ROOM_IDLE_TTL_S
from livegift.store.functions.rooms import room_announce, room_match
from tests.store.test_rooms import LiveRoom

ACTIVE, EXHAUSTED, ENDED = 0, 1, 2


@pytest.fixture
def room(client: redis.Redis) -> LiveRoom:
    return LiveRoom(client)


def show(
    room: LiveRoom, used: int, rank: int = ACTIVE, match_id: str = "m1", settled_ms: int = MATCH_SETTLED_MS
) -> int:
    shown = orjson.dumps({"match_id": match_id, "used_coins": used, "status": rank})
    event = b'"type":"match","id":"%b-%d-%d","ts_ms":1,%b' % (match_id.encode(), used, rank, shown[1:])
    reply: int = room.run(*room_match(room.root, 100, 10, match_id, used, rank, event, shown, settled_ms))
    return reply


def shown(room: LiveRoom) -> list[tuple[str, int]]:
    return [(match["match_id"], match["used_coins"]) for match in room.header()["matches"]]


def test_a_room_without_matches_shows_none(room: LiveRoom) -> None:
    assert room.header()["matches"] == []


def test_the_latest_is_shown_and_told_once(room: LiveRoom) -> None:
    assert [show(room, used) for used in (0, 5, 5, 3, 9)] == [1, 1, 0, 0, 1]
    assert show(room, 4, match_id="m0") == 1
    assert shown(room) == [("m0", 4), ("m1", 9)]
    log = room.log()
    assert [(event["type"], event["match_id"], event["used_coins"]) for event in log] == [
        ("match", "m1", 0),
        ("match", "m1", 5),
        ("match", "m1", 9),
        ("match", "m0", 4),
    ]
    assert room.header()["totals"] == {"gifts": 0, "coins": 0, "diamonds": 0, "gifters": 0}


def test_what_is_over_does_not_come_back(room: LiveRoom) -> None:
    assert show(room, 7, EXHAUSTED) == 1
    assert shown(room) == []
    assert show(room, 7, ACTIVE) == 0
    assert show(room, 7, ENDED) == 1
    assert show(room, 6, ACTIVE) == 0
    assert shown(room) == []


def test_in_any_order_the_latest_stays(room: LiveRoom) -> None:
    news = [(used, ACTIVE) for used in range(8)] + [(8, ACTIVE), (8, EXHAUSTED)]
    rng = random.Random("matches")  # noqa: S311 - repeatable on purpose
    for n in range(20):
        match_id = f"m{n}"
        order = rng.choices(news, k=30)
        for used, rank in order:
            show(room, used, rank, match_id)
        used, rank = max(order)
        assert dict(shown(room)).get(match_id) == (None if rank else used)


def test_what_is_wrong_for_long_is_put_right(room: LiveRoom) -> None:
    """As after the ledger was set back: what the room knows is more than there was."""
    show(room, 9, ENDED)
    assert show(room, 5) == 0
    assert show(room, 5, settled_ms=-1) == 1
    assert shown(room) == [("m1", 5)]


def test_those_that_are_over_are_forgotten_some_day(room: LiveRoom, client: redis.Redis) -> None:
    show(room, 1, ENDED)
    key, long_ago = f"{room.root}:matches", b'2 2 1000 {"match_id":"old"}'
    client.hset(key, "old", long_ago)
    client.hset(key, "m2", b'2 0 1000 {"match_id":"m2"}')
    show(room, 5, ENDED, "m3")
    kept: Any = client.hkeys(key)
    assert {name if isinstance(name, str) else name.decode() for name in kept} == {"m1", "m2", "m3"}


def test_a_room_that_has_ended_shows_none_and_goes_with_them(room: LiveRoom, client: redis.Redis) -> None:
    show(room, 1)
    room.run(*room_announce(room.root, 100, 10, b'"type":"room"}', "ended", ROOM_IDLE_TTL_S))
    assert shown(room) == []
    assert show(room, 2) == 1, "who still watches sees it"
    assert shown(room) == []
    assert 0 < client.ttl(f"{room.root}:matches") <= ROOM_IDLE_TTL_S  # type: ignore[operator]
