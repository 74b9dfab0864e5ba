"""Streaks: what belongs together, how it adds up, and that it ends exactly once."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.journal import GiftRevoked
from livegift.domain.combos import Streak, StreakKey, extend
from livegift.domain.spending import Accepted, Change, GiftSend, Partition, change_wallet, send_gift, sweep_streaks
from tests.domain.operations import TIMEOUT_MS, Gifts, Operation, Pass, Sweep, gift, operations, play, quick, rich

OTHERS = (Sweep(), Sweep("r1"), Sweep("r1:x"), Pass(1), Pass(TIMEOUT_MS - 1), Pass(TIMEOUT_MS), Pass(5 * TIMEOUT_MS))
histories = operations([TIMEOUT_MS], OTHERS)


def accepted_items(history: list[Operation]) -> tuple[Partition, list[tuple[GiftSend | Change, Accepted]], int]:
    """The partition after a history, and each gift or change that was accepted, in order."""
    partition, outcomes, now_ms = play(history)
    told = iter(outcomes)
    found = []
    for operation in history:
        if isinstance(operation, Sweep | Pass):
            continue
        for item in operation.sends if isinstance(operation, Gifts) else [operation]:
            outcome = next(told)
            if isinstance(item, GiftSend | Change) and isinstance(outcome, Accepted) and not outcome.duplicate:
                found.append((item, outcome))
    return partition, found, now_ms


def accepted_gifts(history: list[Operation]) -> tuple[Partition, list[tuple[GiftSend, Accepted]], int]:
    """The same, the gifts alone."""
    partition, found, now_ms = accepted_items(history)
    return partition, [(item, answer) for item, answer in found if isinstance(item, GiftSend)], now_ms


def revoked_from(change: Change) -> tuple[str, StreakKey] | None:
    """The streak that a change takes a gift out of."""
    gift = change.revokes
    if gift is None:
        return None
    return gift.combo_id, StreakKey(change.user, gift.room, gift.gift_id, gift.to, gift.anonymous)


@quick
@given(histories)
def test_repeat_count_is_the_sum_of_the_streaks_counts_less_what_was_revoked(history: list[Operation]) -> None:
    """A fold over the journal. An end says what was left at that moment; what is revoked later changes no streak."""
    partition, items, _ = accepted_items(history)
    gifts = iter([pair for pair in items if isinstance(pair[0], GiftSend)])
    changes = iter([item for item, _ in items if isinstance(item, Change)])
    open_now: dict[tuple[str, StreakKey], int] = {}
    ended: dict[str, int] = {}
    for entry in partition.journal:
        if entry.kind == "gift":
            send, answer = next(gifts)
            streak = answer.combo_id, StreakKey(send.user, send.room, send.gift_id, send.to, send.anonymous)
            open_now[streak] = open_now.get(streak, 0) + send.count
            assert answer.repeat_count == entry.repeat_count == open_now[streak]
            if not send.streakable:
                del open_now[streak]
        elif entry.kind == "change":
            revoked, change = None, next(changes)
            if change.revokes is not None and (revoked := revoked_from(change)) in open_now:
                open_now[revoked] = max(open_now[revoked] - change.revokes.count, 0)
        elif entry.kind == "streak_end":
            (streak,) = [known for known in open_now if known[0] == entry.combo_id]
            ended[entry.combo_id] = open_now.pop(streak)
            assert entry.repeat_count == ended[entry.combo_id]
    assert {streak.combo_id: streak.repeat_count for streak in partition.streaks.values()} == {
        combo_id: count for (combo_id, _), count in open_now.items()
    }
    assert [*gifts, *changes] == []


STEPS = st.lists(st.tuples(st.sampled_from(("send", "revoke", "revoke from another", "wait")), st.integers(1, 9)))


@quick
@given(STEPS)
def test_what_is_revoked_leaves_the_open_streak_and_no_other(steps: list[tuple[str, int]]) -> None:
    """Random histories seldom revoke a gift of a streak that is open: these do little else."""
    partition, now_ms, combo_id, expected = rich(100_000), 1_000, "", 0
    for number, (step, count) in enumerate(steps):
        if step == "wait":
            now_ms, combo_id, expected = now_ms + TIMEOUT_MS, "", 0
        elif step == "send":
            sent = gift(ref=f"s{number}", count=count, streakable=True)
            partition, answer = send_gift(partition, sent, now_ms, TIMEOUT_MS)
            expected += count
            assert isinstance(answer, Accepted)
            assert (answer.combo_id, answer.repeat_count) == (combo_id or answer.event_id, expected)
            combo_id = answer.combo_id
        else:
            named = combo_id if step == "revoke" else "3-1-999"
            taken = GiftRevoked("3-1-2", "r1", "dan", "rose", named, count, 5, 5, anonymous=False)
            undo = Change("ann", f"u{number}", "aa", 5, "revocation", revokes=taken)
            partition, _ = change_wallet(partition, undo)
            if step == "revoke":
                expected = max(expected - count, 0)


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
