"""The pure debit: no coin made, none destroyed, whatever is sent in whatever order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.bounds import AMOUNT_MAX
from livegift.domain.partitions import Position
from livegift.domain.spending import (
    Accepted,
    Change,
    GiftSend,
    Partition,
    Refused,
    SetLimits,
    change_wallet,
    send_gift,
    set_limits,
    sweep_streaks,
)
from tests.domain.operations import (
    REFS,
    TIMEOUT_MS,
    USERS,
    Gifts,
    Operation,
    Pass,
    Sweep,
    apply,
    corrections,
    deposits,
    gift,
    gift_sends,
    operations,
    play,
    quick,
    rich,
)

OTHERS = (Sweep(), Sweep("r1"), Pass(1), Pass(TIMEOUT_MS - 1), Pass(TIMEOUT_MS))
histories = operations([TIMEOUT_MS], OTHERS)


@quick
@given(histories)
def test_a_balance_is_what_was_credited_minus_what_was_sent(history: list[Operation]) -> None:
    partition, outcomes, _ = play(history)
    expected: Counter[str] = Counter()
    told = iter(outcomes)
    for operation in history:
        for item in operation.sends if isinstance(operation, Gifts) else [operation]:
            if isinstance(item, Sweep | Pass):
                continue
            outcome = next(told)
            if isinstance(outcome, Accepted) and not outcome.duplicate:
                expected[item.user] += outcome.coins if isinstance(item, Change) else -outcome.coins
                assert outcome.coins == (item.delta if isinstance(item, Change) else item.price * item.count)
                assert outcome.balance == expected[item.user]
    assert {user: partition.wallet(user).balance for user in USERS} == {user: expected[user] for user in USERS}


@quick
@given(histories)
def test_the_journal_alone_tells_every_wallet(history: list[Operation]) -> None:
    partition, _, _ = play(history)
    balances: Counter[str] = Counter()
    for entry in partition.journal:
        if entry.kind in ("gift", "change"):
            balances[entry.user] += entry.coins if entry.kind == "change" else -entry.coins
            assert entry.balance == balances[entry.user]
    assert all(wallet.balance == balances[user] for user, wallet in partition.wallets.items())


@quick
@given(histories)
def test_neither_the_journal_nor_a_wallet_has_holes(history: list[Operation]) -> None:
    partition, _, _ = play(history)
    assert [entry.position for entry in partition.journal] == [Position(1, n + 1) for n in range(partition.n)]
    for user, wallet in partition.wallets.items():
        seqs = [
            entry.wallet_seq for entry in partition.journal if entry.user == user and entry.kind in ("gift", "change")
        ]
        assert seqs == list(range(1, wallet.seq + 1))


@quick
@given(histories, st.one_of(gift_sends(), deposits(), corrections()))
def test_only_an_acceptance_changes_the_partition(history: list[Operation], item: GiftSend | Change) -> None:
    before, _, now_ms = play(history)
    if isinstance(item, Change):
        after, outcome = change_wallet(before, item)
    else:
        after, outcome = send_gift(before, item, now_ms, TIMEOUT_MS)
    if isinstance(outcome, Refused) or outcome.duplicate:
        assert after == before
    else:
        assert after.wallet(item.user).seq == before.wallet(item.user).seq + 1
        assert {u: w for u, w in after.wallets.items() if u != item.user} == {
            u: w for u, w in before.wallets.items() if u != item.user
        }


@quick
@given(histories, st.one_of(gift_sends(), deposits(), corrections()), histories)
def test_the_same_ref_again_repeats_the_answer_and_changes_nothing(
    before: list[Operation], item: GiftSend | Change, between: list[Operation]
) -> None:
    partition, _, _ = play(before)
    operation: Operation = item if isinstance(item, Change) else Gifts((item,), TIMEOUT_MS)
    partition, (first,) = apply(partition, operation, 1)
    partition, _, now_ms = play(between, partition)
    again, (second,) = apply(partition, operation, now_ms)
    if isinstance(first, Accepted):
        wallet = partition.wallet(item.user)
        assert again == partition
        assert second == Accepted(
            first.event_id,
            first.coins,
            wallet.balance,
            wallet.seq,
            first.combo_id,
            first.repeat_count,
            duplicate=True,
        )


@quick
@given(histories)
def test_the_same_ref_with_another_payload_is_a_conflict(history: list[Operation]) -> None:
    partition, _, _ = play(history)
    for user, wallet in partition.wallets.items():
        for ref in wallet.refs:
            if ref.startswith("!"):
                after, outcome = change_wallet(partition, Change(user, ref[1:], "other", 1, "grant"))
            else:
                after, outcome = send_gift(partition, gift(user=user, ref=ref, payload_hash="other"), 1, TIMEOUT_MS)
            assert outcome == Refused("ref_conflict", wallet.balance)
            assert after == partition


@quick
@given(histories)
def test_no_wallet_below_zero_sends_anything(history: list[Operation]) -> None:
    partition, _, _ = play(history)
    for user, wallet in partition.wallets.items():
        assert -AMOUNT_MAX <= wallet.balance <= AMOUNT_MAX
        if wallet.balance < 0:
            outcome = send_gift(partition, gift(user=user, ref="not yet used"), 1, TIMEOUT_MS)[1]
            assert outcome == Refused("wallet_frozen", wallet.balance)


@quick
@given(histories, st.sampled_from(USERS), st.sampled_from(REFS))
def test_an_accepted_ref_has_exactly_one_entry(history: list[Operation], user: str, ref: str) -> None:
    partition, outcomes, _ = play(history)
    ids = [o.event_id for o in outcomes if isinstance(o, Accepted) and not o.duplicate]
    assert len(ids) == len(set(ids)) == sum(entry.kind in ("gift", "change") for entry in partition.journal)
    remembered = partition.wallet(user).refs.get(ref)
    assert remembered is None or remembered.answer.event_id in ids


@pytest.mark.parametrize("coins", [AMOUNT_MAX - 1, AMOUNT_MAX])
def test_the_whole_of_a_full_wallet_can_be_sent_as_one_gift(coins: int) -> None:
    partition, outcome = send_gift(rich(coins), gift(price=coins, count=1), 1, TIMEOUT_MS)
    assert isinstance(outcome, Accepted)
    assert (outcome.coins, outcome.balance) == (coins, 0)
    assert partition.wallet("ann").balance == 0


@pytest.mark.parametrize("price", [AMOUNT_MAX + 1, 2**53 - 1, 2**53, 2**53 + 1])
def test_a_gift_above_the_ceiling_is_invalid(price: int) -> None:
    partition = rich(AMOUNT_MAX)
    assert send_gift(partition, gift(price=price, count=1), 1, TIMEOUT_MS) == (
        partition,
        Refused("invalid", AMOUNT_MAX),
    )
    assert send_gift(partition, gift(price=1, count=1, diamond_count=price), 1, TIMEOUT_MS) == (
        partition,
        Refused("invalid", AMOUNT_MAX),
    )


@pytest.mark.parametrize(("price", "count"), [(AMOUNT_MAX // 2 + 1, 2), (AMOUNT_MAX, 999), (2**53, 2**53)])
def test_the_ceiling_counts_for_the_product(price: int, count: int) -> None:
    _, outcome = send_gift(rich(AMOUNT_MAX), gift(price=price, count=count), 1, TIMEOUT_MS)
    assert outcome == Refused("invalid", AMOUNT_MAX)


@pytest.mark.parametrize("count", [0, -1, -(10**9)])
def test_a_count_below_one_is_invalid(count: int) -> None:
    """The Redis Function refuses it too: a negative count would make coins."""
    partition = rich()
    assert send_gift(partition, gift(count=count), 1, TIMEOUT_MS) == (partition, Refused("invalid", 1000))


@pytest.mark.parametrize("delta", [AMOUNT_MAX + 1, -AMOUNT_MAX - 1, 2**53, -(2**53) - 1, 0])
def test_a_change_beyond_the_ceiling_or_of_nothing_is_invalid(delta: int) -> None:
    change = Change("ann", "ref", "aa", delta, "correction", overdraw=True)
    assert change_wallet(Partition(3), change) == (Partition(3), Refused("invalid", 0))


def test_a_wallet_never_goes_above_the_ceiling() -> None:
    partition = rich(AMOUNT_MAX)
    assert change_wallet(partition, Change("ann", "one", "aa", 1, "grant")) == (
        partition,
        Refused("invalid", AMOUNT_MAX),
    )


def test_a_correction_below_zero_needs_overdraw_and_freezes_until_it_is_paid_up() -> None:
    partition = rich(100)
    change = Change("ann", "back", "aa", -130, "refund")
    assert change_wallet(partition, change)[1] == Refused("insufficient_coins", 100, 30)
    partition, outcome = change_wallet(partition, Change("ann", "back", "aa", -130, "refund", overdraw=True))
    assert isinstance(outcome, Accepted)
    assert outcome.balance == -30
    partition, outcome = change_wallet(partition, Change("ann", "some", "aa", 29, "order"))
    assert isinstance(outcome, Accepted)
    assert send_gift(partition, gift(), 1, TIMEOUT_MS) == (partition, Refused("wallet_frozen", -1))
    partition, outcome = change_wallet(partition, Change("ann", "more", "aa", 1000, "order"))
    assert isinstance(outcome, Accepted)
    assert isinstance(send_gift(partition, gift(), 1, TIMEOUT_MS)[1], Accepted)
    # What an operator has frozen stays so, whatever is paid.
    partition, _ = set_limits(partition, SetLimits("ann", 0, None, 0, frozen=True, why="", by="root"), 1)
    partition, _ = change_wallet(partition, Change("ann", "again", "aa", 1000, "order"))
    assert send_gift(partition, gift(), 1, TIMEOUT_MS) == (partition, Refused("wallet_frozen", 1999))


def test_what_the_hub_knows_never_turns_a_repetition_into_a_refusal() -> None:
    partition, first = send_gift(rich(), gift(), 1, TIMEOUT_MS)
    _, again = send_gift(partition, gift(verdict="room_ended"), 2, TIMEOUT_MS)
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert send_gift(partition, gift(ref="new", verdict="room_ended"), 2, TIMEOUT_MS)[1] == Refused("room_ended", 990)


def test_refs_of_gifts_and_of_changes_are_apart() -> None:
    partition, outcome = send_gift(rich(), gift(ref="start"), 1, TIMEOUT_MS)
    assert isinstance(outcome, Accepted)
    assert not outcome.duplicate
    assert sweep_streaks(partition, 10**9) == partition
