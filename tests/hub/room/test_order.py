"""The numbering: what is let through has neither holes nor doubles, whatever comes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from livegift.hub.room.order import Hole, News, Order
from livegift.runtime.bounds import ROOM_EARLY_MESSAGES_MAX
from tests.hub.room.model import event, header, message, reading


def begun(seq: int = 0, epoch: int = 1) -> Order:
    order = Order()
    assert order.begin(header(epoch, seq)) == []
    return order


def test_what_comes_next_is_news_once() -> None:
    order = begun(4)
    assert order.take(message(1, 5, 6)) == News(1, 5, [event(1, 5), event(1, 6)], b"6", b'["top 6"]')
    assert order.seq == 6
    assert order.take(message(1, 5, 6)) is None
    assert order.take(message(1, 6, 6)) is None
    assert order.seq == 6


def test_of_what_overlaps_only_the_rest_is_news() -> None:
    order = begun(4)
    news = order.take(message(1, 3, 6))
    assert isinstance(news, News)
    assert (news.first_seq, list(news.events)) == (5, [event(1, 5), event(1, 6)])


def test_a_hole_and_another_epoch_change_nothing() -> None:
    order = begun(4)
    assert order.take(message(1, 6, 7)) == Hole(7)
    assert order.take(message(2, 5, 5)) == Hole(5)
    assert order.take(message(2, 1, 2)) == Hole(2), "although its number is below"
    assert (order.epoch, order.seq) == (1, 4)


def test_what_comes_before_the_first_snapshot_is_kept_up_to_a_limit() -> None:
    order = Order()
    messages = [message(1, n, n) for n in range(1, ROOM_EARLY_MESSAGES_MAX + 3)]
    assert [order.take(one) for one in messages] == [None] * len(messages)
    assert not order.is_behind(1, 99), "nobody follows it yet"
    assert order.begin(header(1, 7)) == messages[:ROOM_EARLY_MESSAGES_MAX]
    assert (order.epoch, order.seq, order.restarts) == (1, 7, 0)
    assert order.begin(header(1, 7)) == [], "they are given back once"


def test_a_reading_gives_what_did_not_come_meanwhile() -> None:
    order = begun(4)
    assert order.continues(reading(1, 8, since=2))
    news = order.take_reading(reading(1, 8, since=2))
    assert news == News(1, 5, [event(1, n) for n in range(5, 9)], b"8", b'["top 8"]')
    assert order.take_reading(reading(1, 8, since=2)) is None
    assert order.take_reading(reading(1, 6, since=4)) is None
    assert order.seq == 8


def test_what_the_log_does_not_have_can_not_be_continued() -> None:
    order = begun(4)
    assert not order.continues(reading(1, 8, since=4, is_complete=False))
    assert not order.continues(reading(2, 8, since=4))
    order.restart(header(2, 3))
    assert (order.epoch, order.seq, order.restarts) == (2, 3, 1)
    assert order.continues(reading(2, 8, since=3))


def test_a_head_shows_what_is_missing() -> None:
    order = begun(4)
    heads = [(1, 3), (1, 4), (1, 5), (2, 1)]
    assert [order.is_behind(*head) for head in heads] == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4), st.booleans()), max_size=60))
def test_any_messages_and_readings_give_each_event_once_and_in_order(steps: list[tuple[int, int, bool]]) -> None:
    order, got = begun(), []
    for first_seq, more, is_reading in steps:
        before = order.seq
        if is_reading:
            news: News | Hole | None = order.take_reading(reading(1, order.seq + more, since=min(first_seq, order.seq)))
        else:
            news = order.take(message(1, first_seq, first_seq + more))
        if isinstance(news, News):
            assert news.first_seq == before + 1
            got += [json.loads(one)["seq"] for one in news.events]
            assert int(news.totals) == order.seq, "totals are those after the last event"
        elif isinstance(news, Hole):
            assert first_seq > before + 1
        else:
            assert order.seq == before
        assert got == list(range(1, order.seq + 1))
