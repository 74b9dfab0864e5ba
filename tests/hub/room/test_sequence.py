"""The numbering: what is let through has neither gaps nor duplicates, whatever comes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from livegift.hub.room.sequence import EventSequence, Gap, News
from livegift.runtime.bounds import ROOM_EARLY_MESSAGES_MAX
from tests.hub.room.model import event, header, message, reading


def begun(seq: int = 0, epoch: int = 1) -> EventSequence:
    sequence = EventSequence()
    assert sequence.begin(header(epoch, seq)) == []
    return sequence


def test_what_comes_next_is_news_once() -> None:
    sequence = begun(4)
    assert sequence.take(message(1, 5, 6)) == News(1, 5, [event(1, 5), event(1, 6)], b"6", b'["top 6"]')
    assert sequence.seq == 6
    assert sequence.take(message(1, 5, 6)) is None
    assert sequence.take(message(1, 6, 6)) is None
    assert sequence.seq == 6


def test_of_what_overlaps_only_the_rest_is_news() -> None:
    sequence = begun(4)
    news = sequence.take(message(1, 3, 6))
    assert isinstance(news, News)
    assert (news.first_seq, list(news.events)) == (5, [event(1, 5), event(1, 6)])


def test_a_gap_and_another_epoch_change_nothing() -> None:
    sequence = begun(4)
    assert sequence.take(message(1, 6, 7)) == Gap(7)
    assert sequence.take(message(2, 5, 5)) == Gap(5)
    assert sequence.take(message(2, 1, 2)) == Gap(2), "although its number is below"
    assert (sequence.epoch, sequence.seq) == (1, 4)


def test_what_comes_before_the_first_snapshot_is_kept_up_to_a_limit() -> None:
    sequence = EventSequence()
    messages = [message(1, n, n) for n in range(1, ROOM_EARLY_MESSAGES_MAX + 3)]
    assert [sequence.take(one) for one in messages] == [None] * len(messages)
    assert not sequence.is_behind(1, 99), "nobody follows it yet"
    assert sequence.begin(header(1, 7)) == messages[:ROOM_EARLY_MESSAGES_MAX]
    assert (sequence.epoch, sequence.seq, sequence.restarts) == (1, 7, 0)
    assert sequence.begin(header(1, 7)) == [], "they are given back once"


def test_a_reading_gives_what_did_not_come_meanwhile() -> None:
    sequence = begun(4)
    assert sequence.continues(reading(1, 8, since=2))
    news = sequence.take_reading(reading(1, 8, since=2))
    assert news == News(1, 5, [event(1, n) for n in range(5, 9)], b"8", b'["top 8"]')
    assert sequence.take_reading(reading(1, 8, since=2)) is None
    assert sequence.take_reading(reading(1, 6, since=4)) is None
    assert sequence.seq == 8


def test_what_the_log_does_not_have_can_not_be_continued() -> None:
    sequence = begun(4)
    assert not sequence.continues(reading(1, 8, since=4, is_complete=False))
    assert not sequence.continues(reading(2, 8, since=4))
    sequence.restart(header(2, 3))
    assert (sequence.epoch, sequence.seq, sequence.restarts) == (2, 3, 1)
    assert sequence.continues(reading(2, 8, since=3))


def test_a_head_shows_what_is_missing() -> None:
    sequence = begun(4)
    heads = [(1, 3), (1, 4), (1, 5), (2, 1)]
    assert [sequence.is_behind(*head) for head in heads] == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4), st.booleans()), max_size=60))
def test_any_messages_and_readings_give_each_event_once_and_in_order(steps: list[tuple[int, int, bool]]) -> None:
    sequence, got = begun(), []
    for first_seq, more, is_reading in steps:
        before = sequence.seq
        if is_reading:
            news: News | Gap | None = sequence.take_reading(
                reading(1, sequence.seq + more, since=min(first_seq, sequence.seq))
            )
        else:
            news = sequence.take(message(1, first_seq, first_seq + more))
        if isinstance(news, News):
            assert news.first_seq == before + 1
            got += [json.loads(one)["seq"] for one in news.events]
            assert int(news.totals) == sequence.seq, "totals are those after the last event"
        elif isinstance(news, Gap):
            assert first_seq > before + 1
        else:
            assert sequence.seq == before
        assert got == list(range(1, sequence.seq + 1))
