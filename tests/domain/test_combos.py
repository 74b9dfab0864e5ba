"""Streaks: what belongs together, how it adds up, and that it ends exactly once."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.combos import Streak, StreakKey, extend
from livegift.domain.spending import Accepted, GiftSend, Partition, send_gift, sweep_streaks
from tests.domain.operations import TIMEOUT_MS, Gifts, Operation, Pass, Sweep, gift, operations, play, quick, rich

OTHERS = (Sweep(), Sweep("r1"), Sweep("r1:x"), Pass(1), Pass(TIMEOUT_MS - 1), Pass(TIMEOUT_MS), Pass(5 * TIMEOUT_MS))
histories = operations([TIMEOUT_MS], OTHERS)


def accepted_gifts(history: list[Operation]) -> tuple[Partition, list[tuple[GiftSend, Accepted]], int]:
    """The partition after a history, and each gift that was accepted, in order."""
    partition, outcomes, now_ms = play(history)
    told = iter(outcomes)
    found = []
    for operation in history:
        if isinstance(operation, Sweep | Pass):
            continue
        for item in operation.sends if isinstance(operation, Gifts) else [operation]:
            outcome = next(told)
            if isinstance(item, GiftSend) and isinstance(outcome, Accepted) and not outcome.duplicate:
                found.append((item, outcome))
    return partition, found, now_ms


@quick
@given(histories)
def test_repeat_count_is_the_sum_of_the_streaks_counts(history: list[Operation]) -> None:
    partition, gifts, _ = accepted_gifts(history)
    sums: Counter[str] = Counter()
    for send, answer in gifts:
        sums[answer.combo_id] += send.count
        assert answer.repeat_count == sums[answer.combo_id]
    ends = {entry.combo_id: entry.repeat_count for entry in partition.journal if entry.kind == "streak_end"}
    still_open = {streak.combo_id: streak.repeat_count for streak in partition.streaks.values()}
    assert {**ends, **still_open} == {a.combo_id: sums[a.combo_id] for s, a in gifts if s.streakable}


@quick
@given(histories)
def test_each_streak_ends_once_and_nothing_follows_its_end(history: list[Operation]) -> None:
    partition, gifts, _ = accepted_gifts(history)
    ends = Counter(entry.combo_id for entry in partition.journal if entry.kind == "streak_end")
    assert not ends or set(ends.values()) == {1}
    begun = {answer.combo_id for send, answer in gifts if send.streakable}
    assert set(ends) | {streak.combo_id for streak in partition.streaks.values()} == begun
    assert not set(ends) & {streak.combo_id for streak in partition.streaks.values()}
    over: set[str] = set()
    for entry in partition.journal:
        assert entry.combo_id not in over
        if entry.kind == "streak_end":
            over.add(entry.combo_id)


@quick
@given(histories)
def test_in_the_end_no_streak_is_open(history: list[Operation]) -> None:
    partition, gifts, now_ms = accepted_gifts(history)
    swept = sweep_streaks(partition, now_ms + TIMEOUT_MS)
    assert swept.streaks == {}
    ends = Counter(entry.combo_id for entry in swept.journal if entry.kind == "streak_end")
    assert ends == dict.fromkeys({answer.combo_id for send, answer in gifts if send.streakable}, 1)
    assert sweep_streaks(swept, now_ms + 10 * TIMEOUT_MS) == swept
    assert swept.wallets == partition.wallets


@quick
@given(histories)
def test_a_streak_is_of_one_sender_room_gift_receiver_and_anonymity(history: list[Operation]) -> None:
    _, gifts, _ = accepted_gifts(history)
    keys: dict[str, set[StreakKey]] = defaultdict(set)
    for send, answer in gifts:
        keys[answer.combo_id].add(StreakKey(send.user, send.room, send.gift_id, send.to, send.anonymous))
    assert all(len(found) == 1 for found in keys.values())


@quick
@given(histories)
def test_a_gift_that_is_not_streakable_stands_alone(history: list[Operation]) -> None:
    _, gifts, _ = accepted_gifts(history)
    combos = Counter(answer.combo_id for _, answer in gifts)
    for send, answer in gifts:
        if not send.streakable:
            assert (answer.combo_id, answer.repeat_count) == (answer.event_id, send.count)
            assert combos[answer.combo_id] == 1


@quick
@given(histories, st.sampled_from(["r1", "r1:x", "r2"]))
def test_the_end_of_a_room_ends_its_streaks_and_leaves_those_that_go_on(history: list[Operation], room: str) -> None:
    partition, _, now_ms = accepted_gifts(history)
    swept = sweep_streaks(partition, now_ms, room)
    assert swept.streaks == {
        key: streak for key, streak in partition.streaks.items() if key.room != room and not streak.expired(now_ms)
    }


@pytest.mark.parametrize(("pause_ms", "together"), [(0, True), (TIMEOUT_MS - 1, True), (TIMEOUT_MS, False)])
def test_a_streak_is_over_once_its_deadline_is_reached(pause_ms: int, *, together: bool) -> None:
    partition, first = send_gift(rich(), gift(ref="1", streakable=True), 5000, TIMEOUT_MS)
    partition, second = send_gift(partition, gift(ref="2", streakable=True), 5000 + pause_ms, TIMEOUT_MS)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (second.combo_id == first.combo_id) is together
    assert second.repeat_count == (4 if together else 2)
    assert [entry.kind for entry in partition.journal[2:]] == (["gift"] if together else ["streak_end", "gift"])


@pytest.mark.parametrize(
    "other", [{"user": "ann2"}, {"room": "r2"}, {"to": "eve"}, {"gift_id": "heart"}, {"anonymous": True}]
)
def test_another_sender_room_receiver_gift_or_name_is_another_streak(other: dict[str, object]) -> None:
    partition = rich()
    if "user" in other:
        partition = partition.with_wallet("ann2", partition.wallet("ann"))
    partition, first = send_gift(partition, gift(ref="1", streakable=True), 1, TIMEOUT_MS)
    _, second = send_gift(partition, gift(**{"ref": "2", "streakable": True, **other}), 1, TIMEOUT_MS)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.combo_id != second.combo_id


def test_the_oldest_deadline_ends_first() -> None:
    partition = rich()
    for number, room in enumerate(("r3", "r1", "r2")):
        sent = gift(ref=str(number), room=room, streakable=True)
        partition, _ = send_gift(partition, sent, 1000 + number, TIMEOUT_MS)
    swept = sweep_streaks(partition, 10_000)
    ended = [entry.combo_id for entry in swept.journal if entry.kind == "streak_end"]
    assert ended == [entry.combo_id for entry in partition.journal if entry.kind == "gift"]


@quick
@given(st.lists(st.integers(1, 999), min_size=1), st.integers(1, 60_000))
def test_extending_adds_up_and_moves_the_deadline(counts: list[int], timeout_ms: int) -> None:
    streak: Streak | None = None
    for now_ms, count in enumerate(counts):
        streak = extend(streak, f"0-1-{now_ms}", count, now_ms, timeout_ms)
    assert streak == Streak("0-1-0", sum(counts), len(counts) - 1 + timeout_ms)
    assert not streak.expired(streak.deadline_ms - 1)
    assert streak.expired(streak.deadline_ms)
