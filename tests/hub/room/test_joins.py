"""Joins: one read for all who come at once, a message for each place, and nothing for who has left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.hub.frames import Frame
from livegift.hub.room.joins import Joiner, Joins, Place, Round
from tests.hub.room.model import ModelViewer, event, header, reading


def joiner(seq: int | None = None, epoch: int | None = None) -> Joiner:
    return Joiner(ModelViewer(), Place(seq, epoch))


def frame(epoch: int, first_seq: int, seq: int) -> Frame:
    events = [event(epoch, n) for n in range(first_seq, seq + 1)]
    return Frame.build("r1", epoch, first_seq, b"0", None, events)


def round_of(*joiners: Joiner) -> Round:
    return Round(list(joiners), 0)


def test_who_asks_before_a_round_begins_is_in_it_and_who_asks_later_in_the_next() -> None:
    joins, (first, second, third) = Joins(), (joiner() for _ in range(3))
    assert joins.is_idle
    assert joins.add(first), "rounds begin"
    assert not joins.is_idle
    assert not joins.add(second)
    one = joins.begin(0)
    assert one is not None
    assert one.joiners == [first, second]
    assert not joins.has_waiting
    assert not joins.add(third)
    assert joins.has_waiting
    two = joins.begin(0)
    assert two is not None
    assert two.joiners == [third]
    assert not joins.is_idle
    assert joins.begin(0) is None
    assert joins.is_idle
    assert joins.add(first), "rounds begin anew"


def test_when_rounds_end_by_a_fault_the_next_to_come_begins_them() -> None:
    joins = Joins()
    joins.add(joiner())
    joins.begin(0)
    joins.shown(frame(1, 1, 1))
    joins.end()
    assert joins.is_idle
    assert joins.frames_after(header(1, 0)) == []
    assert joins.add(joiner())


def test_who_leaves_is_not_answered_waiting_or_served() -> None:
    joins, (served, waiting, other) = Joins(), (joiner() for _ in range(3))
    joins.add(served)
    joins.add(other)
    joins.begin(0)
    joins.add(waiting)
    joins.leave(served.viewer)
    joins.leave(waiting.viewer)
    joins.leave(ModelViewer())
    assert [one.has_left for one in (served, waiting, other)] == [True, True, False]


def test_who_gives_up_waits_no_longer() -> None:
    joins, (served, waiting) = Joins(), (joiner() for _ in range(2))
    joins.add(served)
    joins.begin(0)
    joins.add(waiting)
    joins.withdraw(waiting)
    joins.withdraw(served)
    assert not joins.has_waiting
    assert served.has_left
    assert waiting.has_left


def test_a_round_that_is_put_off_is_served_with_the_next_and_first() -> None:
    joins, (early, late) = Joins(), (joiner() for _ in range(2))
    joins.add(early)
    one = joins.begin(0)
    assert one is not None
    joins.add(late)
    joins.put_off(one)
    assert not one.joiners
    assert not one.places
    two = joins.begin(1)
    assert two is not None
    assert two.joiners == [early, late]


def test_frames_since_the_round_began_are_kept_for_its_joiners() -> None:
    joins = Joins()
    joins.shown(frame(1, 1, 1))
    joins.add(joiner())
    joins.begin(0)
    for one in (frame(1, 2, 3), frame(1, 4, 6), frame(2, 7, 8)):
        joins.shown(one)
    later = joins.frames_after(header(1, 4))
    assert [(one.first_seq, one.seq) for one in later] == [(5, 6)]
    assert [(one.first_seq, one.seq) for one in joins.frames_after(header(1, 0))] == [(2, 3), (4, 6)]
    assert [(one.first_seq, one.seq) for one in joins.frames_after(header(2, 6))] == [(7, 8)]
    joins.begin(0)
    joins.shown(frame(2, 9, 9))
    assert joins.frames_after(header(2, 0)) == [], "nobody is served"


def test_one_read_reaches_back_to_who_knows_least_and_each_place_gets_one_message() -> None:
    everybody = [joiner(5), joiner(3, 1), joiner(), joiner(5), joiner(3, 1)]
    served = round_of(*everybody)
    assert served.since == 3
    assert served.places == [Place(5, None), Place(3, 1), Place(None, None)]
    assert round_of(joiner(), joiner()).since is None
    assert round_of(joiner(0), joiner(4)).since == 0


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(None, None), []),
        (Place(None, 1), []),
        (Place(3, 1), [4, 5, 6]),
        (Place(3, None), [4, 5, 6]),
        (Place(2, 1), [3, 4, 5, 6]),
        (Place(6, 1), []),
        (Place(7, 1), None),
        (Place(3, 2), None),
    ],
)
def test_what_was_missed_is_what_comes_after_the_place(place: Place, expected: list[int] | None) -> None:
    served = round_of(joiner(2, 1), joiner(*place))
    served.reading = reading(1, 6, since=2)
    assert not served.needs_own_reading(place)
    found = served.find(place, None)
    assert (found if found is None else list(found)) == (expected and [event(1, n) for n in expected])
    assert served.missed == {place: found}


def test_who_wants_what_the_log_has_does_not_suffer_from_who_wants_more() -> None:
    served = round_of(joiner(2), joiner(5), joiner(9), joiner(5, 3), joiner())
    served.reading = reading(1, 6, since=2, is_complete=False)
    assert [served.needs_own_reading(place) for place in served.places] == [True, True, False, False, False]
    assert served.find(Place(2, None), reading(1, 8, since=2, is_complete=False)) is None
    found = served.find(Place(5, None), reading(1, 8, since=5))
    assert found is not None
    assert list(found) == [event(1, 6)], "not beyond the snapshot"
    assert list(served.find(Place(None, None), None) or ()) == []


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3))
def test_a_place_and_what_it_missed_lead_to_the_snapshot(since: int, oldest: int, seq: int, later: int) -> None:
    served = round_of(joiner(since), joiner(oldest))
    served.reading = reading(1, seq, since=served.since)
    for own in (None, reading(1, seq + later, since=since)):
        found = served.find(Place(since, None), own)
        if since > seq:
            assert found is None
        else:
            assert list(found or ()) == [event(1, n) for n in range(since + 1, seq + 1)]
