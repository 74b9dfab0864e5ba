"""Double entry: every entry's transfers cancel out."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.journal import Entry, GiftSent, StreakEnded, WalletChanged
from livegift.domain.postings import COIN, DIAMOND, Transfer, coins_of, diamonds_of, sums, transfers_of
from tests.booking import REASONS
from tests.domain.operations import quick

ids = st.text("Az09._:-", min_size=1, max_size=4)
amounts = st.one_of(st.integers(0, 300), st.sampled_from((AMOUNT_MAX - 1, AMOUNT_MAX)))
deltas = st.integers(-AMOUNT_MAX, AMOUNT_MAX).filter(bool)
JSON = Raw(b"{}")


def gift_sent(user: str, to: str, coins: int, diamonds: int) -> GiftSent:
    # fmt: off
    return GiftSent(
        user, 1, 0, "ref", "r1", to, "rose", 1, coins, diamonds, "0-1-1", 1, repeat_end=True, anonymous=False,
        ts_ms=1, user_json=JSON, details_json=JSON, message_json=JSON,
    )
    # fmt: on


gifts = st.builds(gift_sent, ids, ids, amounts, amounts)
changes = st.builds(
    WalletChanged, ids, st.just(1), st.just(0), st.just("ref"), deltas, st.sampled_from(sorted(REASONS)), st.just(1)
)
ends = st.builds(StreakEnded, ids, ids, ids, ids, ids, amounts, st.booleans(), st.just(1), st.just(JSON), st.just(JSON))
entries = st.one_of(gifts, changes, ends)
partitions = st.integers(0, 1023)
journals = st.lists(st.tuples(entries, partitions), max_size=12)


@quick
@given(journals)
def test_all_accounts_of_an_asset_sum_to_zero(journal: list[tuple[Entry, int]]) -> None:
    transfers = [transfer for entry, partition in journal for transfer in transfers_of(entry, partition, REASONS)]
    totals: Counter[str] = Counter()
    for (_, asset), change in sums(transfers).items():
        totals[asset] += change
    assert not any(totals.values())
    assert set(totals) <= {COIN, DIAMOND}


@quick
@given(entries, partitions)
def test_a_transfer_moves_something_between_two_accounts(entry: Entry, partition: int) -> None:
    for transfer in transfers_of(entry, partition, REASONS):
        assert transfer.amount > 0
        assert transfer.debit != transfer.credit


@quick
@given(journals)
def test_sums_come_in_the_order_in_which_every_booking_locks(journal: list[tuple[Entry, int]]) -> None:
    found = sums(transfer for entry, partition in journal for transfer in transfers_of(entry, partition, REASONS))
    assert list(found) == sorted(found)


@quick
@given(
    st.lists(st.builds(Transfer, st.just(COIN), ids, ids, st.integers(1, AMOUNT_MAX)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_order_of_transfers_does_not_matter(transfers: list[Transfer], chance: Random) -> None:
    shuffled = list(transfers)
    chance.shuffle(shuffled)
    assert sums(shuffled) == sums(transfers)
    for name in {name for transfer in transfers for name in (transfer.debit, transfer.credit)}:
        expected = sum(t.amount * ((t.credit == name) - (t.debit == name)) for t in transfers)
        assert sums(transfers)[name, COIN] == expected


@quick
@given(ids, ids, amounts, amounts, partitions)
def test_a_gift_takes_coins_from_the_sender_and_gives_diamonds_to_the_receiver(
    user: str, to: str, coins: int, diamonds: int, partition: int
) -> None:
    found = sums(transfers_of(gift_sent(user, to, coins, diamonds), partition, REASONS))
    assert found.get((coins_of(user), COIN), 0) == -coins
    assert found.get((f"coins:spent:p{partition}", COIN), 0) == coins
    assert found.get((diamonds_of(to), DIAMOND), 0) == diamonds
    assert found.get((f"diamonds:issued:p{partition}", DIAMOND), 0) == -diamonds


@quick
@given(changes, partitions)
def test_a_change_moves_the_wallet_by_its_delta(change: WalletChanged, partition: int) -> None:
    found = sums(transfers_of(change, partition, REASONS))
    assert found[coins_of(change.user), COIN] == change.delta
    assert found[f"{REASONS[change.reason]}:p{partition}", COIN] == -change.delta


@quick
@given(ends, partitions)
def test_the_end_of_a_streak_moves_nothing(end: StreakEnded, partition: int) -> None:
    assert transfers_of(end, partition, REASONS) == ()


def test_a_reason_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        transfers_of(WalletChanged("ann", 1, 5, "ref", 5, "theft", 1), 0, REASONS)


@quick
@given(ids, ids, st.sampled_from(sorted(REASONS)), partitions)
def test_no_user_can_have_the_account_of_the_system(user: str, other: str, reason: str, partition: int) -> None:
    mine = {coins_of(user), diamonds_of(user)}
    assert not mine & {f"coins:spent:p{partition}", f"diamonds:issued:p{partition}", f"{REASONS[reason]}:p{partition}"}
    assert user == other or not mine & {coins_of(other), diamonds_of(other)}
