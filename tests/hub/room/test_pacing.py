"""Pacing: a first event goes at once, then one frame every flush interval, and nothing waits longer than that."""

from hypothesis import given
from hypothesis import strategies as st

from livegift.hub.room.pacing import FrameEvents, Pacing
from livegift.hub.room.sequence import News
from livegift.runtime.bounds import ROOM_PENDING_EVENTS_MAX, ROOM_TOP_S

FLUSH_S = 0.25
START_S = 50.0


def news(first_seq: int, count: int = 1, top: bytes = b"") -> News:
    return News(1, first_seq, [b"e%d" % n for n in range(first_seq, first_seq + count)], b"t%d" % first_seq, top)


def test_the_first_event_goes_at_once_and_the_next_ones_wait_together() -> None:
    pacing = Pacing(FLUSH_S)
    assert pacing.add(news(1), START_S) == 0
    assert pacing.take(START_S) == FrameEvents(1, 1, [b"e1"], b"t1", None)
    assert pacing.add(news(2), START_S + 0.0625) == FLUSH_S - 0.0625
    assert pacing.add(news(3), START_S + 0.125) is None, "it is arranged"
    batch = pacing.wake(START_S + FLUSH_S)
    assert batch == FrameEvents(1, 2, [b"e2", b"e3"], b"t3", None)
    assert (batch.seq, pacing.sent_seq) == (3, 3)
    assert pacing.wake(START_S + 9) is None
    assert pacing.add(news(4), START_S + 2 * FLUSH_S) == 0, "the interval is over"


def test_an_early_frame_leaves_nothing_to_wait_for() -> None:
    pacing = Pacing(FLUSH_S)
    pacing.add(news(1), START_S)
    pacing.take(START_S)
    assert pacing.add(news(2), START_S) == FLUSH_S
    assert pacing.take(START_S + 0.125) is not None
    assert pacing.add(news(3), START_S + 0.25) == 0.125, "from the last frame on; and it is arranged anew"


def test_too_many_events_do_not_wait() -> None:
    pacing = Pacing(FLUSH_S)
    pacing.add(news(1), START_S)
    pacing.take(START_S)
    assert pacing.add(news(2, ROOM_PENDING_EVENTS_MAX - 1), START_S) == FLUSH_S
    assert not pacing.is_full
    assert pacing.add(news(ROOM_PENDING_EVENTS_MAX + 1), START_S) == 0
    assert not pacing.is_full, "only what is held can't go"


def test_what_is_held_waits_until_it_is_let_go_and_is_full_at_a_limit() -> None:
    pacing = Pacing(FLUSH_S)
    pacing.is_held = True
    assert pacing.add(news(1, ROOM_PENDING_EVENTS_MAX - 1), START_S) == 0
    assert pacing.take(START_S) is None
    assert pacing.wake(START_S) is None
    assert not pacing.is_full
    pacing.add(news(ROOM_PENDING_EVENTS_MAX), START_S)
    assert pacing.is_full
    pacing.is_held = False
    batch = pacing.take(START_S)
    assert batch is not None
    assert len(batch.events) == ROOM_PENDING_EVENTS_MAX


def test_a_restart_forgets_what_the_snapshot_has() -> None:
    pacing = Pacing(FLUSH_S)
    pacing.add(news(1), START_S)
    pacing.restart(70)
    assert pacing.sent_seq == 70
    assert pacing.take(START_S) is None
    assert pacing.add(News(2, 71, [b"e"], b"t", b""), START_S) == 0
    assert pacing.take(START_S) == FrameEvents(2, 71, [b"e"], b"t", None)


def test_ranks_go_with_a_frame_once_a_second_and_with_a_pulse_when_no_frame_has_them() -> None:
    pacing = Pacing(0)

    def top(first_seq: int, ranks: bytes, now_s: float) -> bytes | None:
        pacing.add(news(first_seq, top=ranks), now_s)
        assert pacing.take_top() is None, "the next frame may have it"
        batch = pacing.take(now_s)
        assert batch is not None
        return batch.top

    assert pacing.take_top() is None
    assert top(1, b"one", START_S) == b"one"
    assert top(2, b"two", START_S + ROOM_TOP_S / 2) is None, "too soon"
    assert top(3, b"two", START_S + ROOM_TOP_S) == b"two"
    assert top(4, b"two", START_S + 3 * ROOM_TOP_S) is None, "no news"
    assert top(5, b"six", START_S + 3 * ROOM_TOP_S) == b"six", "what is no news does not count"
    assert top(6, b"ten", START_S + 3 * ROOM_TOP_S) is None
    assert (pacing.take_top(), pacing.take_top()) == (b"ten", None)
    assert top(7, b"ten", START_S + 9 * ROOM_TOP_S) is None, "a pulse has told it"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.01, 0.1, FLUSH_S, 1.0]), st.sampled_from(["add", "add", "take", "hold", "go"])
        ),
        max_size=60,
    )
)
def test_nothing_waits_longer_than_the_interval_and_no_two_frames_come_within_it(
    steps: list[tuple[float, str]],
) -> None:
    """Unless somebody takes what there is, as a join does."""
    pacing, now_s, wakes_at_s = Pacing(FLUSH_S), START_S, None
    added = sent = 0
    sent_at_s = waits_since_s = -1.0

    def show(batch: FrameEvents | None, *, is_forced: bool = False) -> None:
        nonlocal sent, sent_at_s, wakes_at_s
        if batch is None:
            return
        assert is_forced or now_s - sent_at_s >= FLUSH_S - 1e-9
        assert (batch.first_seq, batch.seq) == (sent + 1, added)
        sent, sent_at_s, wakes_at_s = batch.seq, now_s, None

    for passed_s, what in steps:
        until_s = now_s + passed_s
        if wakes_at_s is not None and wakes_at_s <= until_s:
            now_s, wakes_at_s = wakes_at_s, None
            show(pacing.wake(now_s))
        now_s = until_s
        if what == "add":
            if added == sent:
                waits_since_s = now_s
            added += 1
            wait_s = pacing.add(news(added), now_s)
            if wait_s:
                assert wakes_at_s is None, "one is enough"
                wakes_at_s = now_s + wait_s
            elif wait_s == 0:
                show(pacing.take(now_s))
        elif what == "take":
            show(pacing.take(now_s), is_forced=True)
        else:
            pacing.is_held = what == "hold"
            show(pacing.take(now_s), is_forced=True)
        if not pacing.is_held and added > sent:
            assert wakes_at_s is not None
            assert wakes_at_s - waits_since_s <= FLUSH_S + 1e-9
