"""The cap of a room: what is left out is counted, what matters never is."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.event_kinds import CORE_EVENTS, EventKind, EventKinds, Lane, RoomPart
from livegift.contract.events import Event, RoomEvent, body_of, details_json, gift_event, streak_end_event, user_json
from livegift.contract.journal import GiftSent, StreakEnded
from livegift.contract.messages import Omitted
from livegift.contract.values import GiftKind
from livegift.hub.conflation import ConflatedEvents, Conflation

DEAR = 500
PER_S = 4


class Chat(Event, frozen=True, kw_only=True, tag="chat"):
    """An event that only this test has."""

    text: str


class Tally(Event, frozen=True, kw_only=True, tag="tally"):
    """Another one."""

    poll_id: str
    votes: int


KINDS = EventKinds([*CORE_EVENTS, EventKind(Chat, Lane.CONFLATED), EventKind(Tally, Lane.LATEST, key="poll_id")])
NAMES = ("Ann", '","message":"', '{"seq":1,"type":"gift","id":"x"', 'né\u2028 \\ "quoted"')


@dataclass(frozen=True)
class Sent:
    """A gift of the streak `combo` (0 to 3), or its end when there is no `count`."""

    combo: int
    count: int
    price: int
    message: str | None


gifts = st.builds(
    Sent,
    st.integers(0, 3),
    st.integers(1, 99),
    st.sampled_from([1, 5, DEAR]),
    st.sampled_from([None, None, None, "hi", ',"message":', "\u00fc"]),
)
ends = st.builds(Sent, st.integers(0, 3), st.just(0), st.just(1), st.none())
others = st.sampled_from(["room", "match", "revoked"])
rushes = st.lists(st.lists(gifts | gifts | gifts | ends | others, max_size=30), min_size=1, max_size=8)


def event(seq: int, what: Sent | str) -> bytes:
    kind = GiftKind(id="rose", name="Rose", coins=1, diamond_count=1, streakable=True, tier=1, icon="x")
    if what == "room":
        return b'{"seq":%d,' % seq + body_of(RoomEvent(id="e", ts_ms=1, status="live", title='"type":"gift"'))
    if what == "match":
        return b'{"seq":%d,' % seq + b'"type":"match","id":"e","ts_ms":1,"used":3}'
    if not isinstance(what, Sent):
        return b'{"seq":%d,"type":"gift.revoked","id":"e"}' % seq
    common: dict[str, Any] = {
        "user_json": user_json("ann", NAMES[what.combo], None),
        "details_json": msgspec.Raw(details_json("cat", NAMES[what.combo], kind)),
        "ts_ms": seq * 10,
        "combo_id": f"c-{what.combo}",
        "repeat_count": seq,
        "anonymous": False,
    }
    fields = {name: common.get(name) for cls in (GiftSent, StreakEnded) for name in cls.__struct_fields__}
    if what.count == 0:
        return b'{"seq":%d,' % seq + streak_end_event("e", fields["combo_id"], _made(StreakEnded, fields))
    fields |= {
        "count": what.count,
        "coins": what.count * what.price,
        "diamonds": what.count * what.price,
        "repeat_end": False,
        "message_json": msgspec.Raw(b"null" if what.message is None else json.dumps(what.message).encode()),
    }
    return b'{"seq":%d,' % seq + gift_event(f"e-{seq}", fields["combo_id"], _made(GiftSent, fields))


def _made(cls: Any, fields: dict[str, Any]) -> Any:
    return cls(**{name: fields[name] for name in cls.__struct_fields__})


def opened(events: Any) -> list[dict[str, Any]]:
    return [json.loads(event) for event in events]


def is_always_shown(shown: dict[str, Any]) -> bool:
    return shown["type"] != "gift" or shown["count"] == 0 or (shown["coins"] >= DEAR and "merged" not in shown)


@given(rushes, st.lists(st.sampled_from([0.0, 0.04, 0.3, 1.0, 9.0]), min_size=8, max_size=8))
def test_nothing_is_lost_uncounted_and_what_matters_is_never_left_out(
    rush: list[list[Sent | str]], waits_s: list[float]
) -> None:
    conflation, now_s, seq, ordinary_shown = Conflation(PER_S, DEAR, KINDS), 100.0, 0, 0
    for flush, wait_s in zip(rush, waits_s, strict=False):
        now_s += wait_s
        before = [event(seq + i, what) for i, what in enumerate(flush)]
        seq += len(flush)
        shown = conflation.cap(before, now_s)
        check(opened(before), shown)
        ordinary_shown += sum(not is_always_shown(e) for e in opened(shown.events))
    assert ordinary_shown <= PER_S * (1 + now_s - 100.0) + 1e-6, "no more than was saved up at first and came in since"


def check(before: list[dict[str, Any]], shown: ConflatedEvents) -> None:
    after = opened(shown.events)
    assert [e["seq"] for e in after] == sorted(e["seq"] for e in after)
    by_seq = {e["seq"]: e for e in before}
    assert [e for e in before if is_always_shown(e)] == [e for e in after if is_always_shown(e)]
    left_out = shown.omitted or Omitted(0, 0)
    gifts_before = [e for e in before if e["type"] == "gift" and e["count"]]
    gifts_after = [e for e in after if e["type"] == "gift" and e["count"]]
    assert len(gifts_before) == sum(e.get("merged", 1) for e in gifts_after) + left_out.count
    assert sum(e["coins"] for e in gifts_before) == sum(e["coins"] for e in gifts_after) + left_out.coins
    for e in gifts_after:
        own = by_seq[e["seq"]]
        sums = {"count", "coins", "diamonds", "merged"}
        assert {k: v for k, v in e.items() if k not in sums} == {k: v for k, v in own.items() if k not in sums}
        if "merged" not in e:
            assert e == own
        else:
            assert "message" not in e
            assert e["coins"] == e["diamonds"] > own["coins"]


def test_as_many_as_the_cap_go_out_as_they_are() -> None:
    conflation = Conflation(PER_S, DEAR, KINDS)
    events = [event(i, Sent(i % 3, 1, 1, None)) for i in range(PER_S)]
    assert conflation.cap(events, 50.0) == (events, None)
    assert conflation.cap(events, 50.0).events != events, "the second's allowance is used up"
    assert conflation.cap(events, 51.0).events is events


def test_the_sends_of_a_streak_become_one_before_any_is_left_out() -> None:
    conflation = Conflation(2, DEAR, KINDS)
    rush = [Sent(0, 1, 1, None), Sent(1, 2, 5, None), Sent(0, 3, 1, None), Sent(0, 4, 1, None)]
    (bigger, streak), omitted = conflation.cap([event(i, what) for i, what in enumerate(rush)], 50.0)
    assert omitted is None
    assert (json.loads(bigger)["seq"], json.loads(bigger)["coins"]) == (1, 10)
    merged = json.loads(streak)
    assert (merged["id"], merged["count"], merged["coins"], merged["repeat_count"]) == ("e-3", 8, 8, 3)
    assert merged["merged"] == 3


def test_the_cheapest_are_left_out_and_the_dear_and_the_last_words_stay() -> None:
    conflation = Conflation(2, DEAR, KINDS)
    rush: list[Sent | str] = [
        Sent(0, 1, 1, None),
        Sent(1, 1, DEAR, None),
        Sent(2, 1, 5, "hi"),
        Sent(2, 1, 1, "there"),
        Sent(3, 0, 1, None),
        "room",
    ]
    shown = conflation.cap([event(i, what) for i, what in enumerate(rush)], 50.0)
    assert [e["seq"] for e in opened(shown.events)] == [1, 4, 5]
    assert shown.omitted == Omitted(3, 7)
    shown = conflation.cap([event(i, what) for i, what in enumerate(rush[:4])], 51.0)
    assert [e["seq"] for e in opened(shown.events)] == [1, 2]
    assert shown.omitted == Omitted(2, 2)


def test_no_cap() -> None:
    events = [event(i, Sent(0, 1, 1, None)) for i in range(1000)]
    assert Conflation(0, DEAR, KINDS).cap(events, 50.0) == (events, None)


def numbered(seq: int, told: Event) -> bytes:
    return b'{"seq":%d,' % seq + body_of(told)


def chat(seq: int) -> bytes:
    return numbered(seq, Chat(id=f"c{seq}", ts_ms=1, text='"type":"room"'))


def tally(seq: int, poll: str) -> bytes:
    return numbered(seq, Tally(id=f"t{seq}", ts_ms=1, poll_id=poll, votes=seq))


def test_of_latest_values_the_last_one_of_each_key_is_shown_and_nothing_is_counted() -> None:
    rush = [tally(0, "a"), tally(1, "b"), tally(2, "a"), tally(3, "a")]
    shown = Conflation(1, DEAR, KINDS).cap(rush, 50.0)
    assert (list(shown.events), shown.omitted) == ([rush[1], rush[3]], None)
    assert Conflation(4, DEAR, KINDS).cap(rush, 50.0).events is rush, "no more than the cap"


def test_the_oldest_words_are_left_out_before_any_gift_and_counted_apart() -> None:
    rush = [chat(0), event(1, Sent(0, 1, 5, None)), chat(2), chat(3), tally(4, "a"), event(5, "room")]
    shown = Conflation(4, DEAR, KINDS).cap(rush, 50.0)
    assert [e["seq"] for e in opened(shown.events)] == [1, 3, 4, 5]
    assert shown.omitted == Omitted(0, 0, others=2)
    shown = Conflation(2, DEAR, KINDS).cap(rush, 50.0)
    assert [e["seq"] for e in opened(shown.events)] == [4, 5]
    assert shown.omitted == Omitted(1, 5, others=3)


def test_what_nobody_has_declared_is_shown() -> None:
    rush = [numbered(0, Chat(id="x", ts_ms=1, text="")).replace(b"chat", b"news"), chat(1), chat(2)]
    assert [e["seq"] for e in opened(Conflation(1, DEAR, KINDS).cap(rush, 50.0).events)] == [0]


def test_a_kind_is_declared_once_and_with_sense() -> None:
    with pytest.raises(RuntimeError, match="two features offer it"):
        EventKinds([*CORE_EVENTS, CORE_EVENTS[0]])
    with pytest.raises(RuntimeError, match="expected a field as key"):
        EventKind(Tally, Lane.LATEST, key="poll")
    with pytest.raises(RuntimeError, match="expected a field as key"):
        EventKind(Chat, Lane.ALWAYS, key="text")
    tallies = EventKind(Tally, Lane.LATEST, key="poll_id")
    for name in ("totals", "polls"):  # a field of all snapshots, and twice the same
        with pytest.raises(RuntimeError, match="snapshots have it already"):
            EventKinds([tallies], [RoomPart("polls", tallies, 1), RoomPart(name, tallies, 1)])
    with pytest.raises(RuntimeError, match="among the kinds"):
        EventKinds(CORE_EVENTS, [RoomPart("polls", tallies, 1)])
    with pytest.raises(RuntimeError, match="expected a-z"):
        RoomPart("a b", tallies, 1)
    with pytest.raises(RuntimeError, match="of the lane LATEST"):
        RoomPart("gifts", CORE_EVENTS[0], 1)
