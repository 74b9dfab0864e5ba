"""Tests of the checks of orders and payouts, and of the plans of deals: fast, without servers."""

import pytest

from tests.faults.commerce import (
    BAD,
    GOOD,
    PAYOUT_ACTS,
    REVERSALS,
    UNDOINGS,
    WITHDRAWALS,
    Buy,
    Deliver,
    PayoutAct,
    Reverse,
    Spree,
    Undo,
    Withdraw,
    make_deals,
)
from tests.faults.payouts import later
from tests.faults.provider import Purchase
from tests.faults.purchases import unfinished

ORDER = {"id": "ord-1", "coins": 100, "bonus_coins": 5, "amount": 199, "currency": "USD"}


def purchase(*, paid: bool = False, reversals: tuple[str, ...] = ()) -> Purchase:
    return Purchase(Buy("o1", "u1", "coins-100", (0,)), dict(ORDER), paid=paid, reversals=set(reversals))  # type: ignore[arg-type]


RIGHT = [
    (purchase(), ("created", False, 105, 0, 0)),
    (purchase(), ("declined", False, 105, 0, 0)),
    (purchase(paid=True), ("credited", True, 105, 105, 0)),
    (purchase(paid=True, reversals=("refunded",)), ("refunded", True, 105, 105, 105)),
    (purchase(paid=True, reversals=("refunded", "disputed")), ("charged_back", False, 105, 0, 0)),
]


@pytest.mark.parametrize("index", range(len(RIGHT)))
def test_each_state_fits_what_the_provider_knows_and_nothing_else(index: int) -> None:
    made, row = RIGHT[index]
    assert list(unfinished(made, row)) == []
    assert list(unfinished(made, None)), "an order that is gone"
    for other, (_, unfit) in enumerate(RIGHT):
        if {index, other} not in ({index}, {0, 1}, {3, 4}):
            assert list(unfinished(made, unfit)), f"{row} instead of {unfit}"


def test_who_withdrew_has_the_money_or_the_coins() -> None:
    for is_withdrawn in (False, True):
        made = purchase(paid=True)
        made.is_withdrawal_tried, made.is_withdrawn = True, is_withdrawn
        assert bool(list(unfinished(made, ("credited", True, 105, 105, 0)))) is is_withdrawn
        assert bool(list(unfinished(made, ("refunded", True, 105, 105, 105)))) is not is_withdrawn
        assert list(unfinished(made, ("refunded", True, 105, 105, 0))), "both"
        assert list(unfinished(made, ("withdrawing", True, 105, 105, 105))), "neither yet"
        assert not made.is_overdraft_right


def test_coins_that_moved_half_way_are_not_finished() -> None:
    assert list(unfinished(purchase(paid=True), ("credited", True, 105, 100, 0)))
    assert list(unfinished(purchase(paid=True, reversals=("disputed",)), ("charged_back", True, 105, 105, 0)))


def test_what_a_payout_can_still_be() -> None:
    assert later("paid") == {"paid"}
    assert later("sent") == {"sent", "paid", "failed"}
    assert "cancelled" not in later("approved")
    assert len(later("requested")) == 7


def test_a_seed_makes_one_plan_in_which_everything_comes_up() -> None:
    users, creators = ["u0", "u1"], ["c0", "c1"]
    deals, again, other = (make_deals(seed, 8 * 2_000, users, ["p0"], creators) for seed in (1, 1, 2))
    assert deals == again != other
    assert {d.how for d in deals if isinstance(d, Deliver)} == GOOD.keys() | BAD.keys()
    assert {d.how for d in deals if isinstance(d, Reverse)} == REVERSALS.keys()
    assert {d.how for d in deals if isinstance(d, Withdraw)} == WITHDRAWALS.keys()
    assert {d.withdrawals for d in deals if isinstance(d, Spree)} == {1, 2, 3, 4}
    assert {d.how for d in deals if isinstance(d, Undo)} == UNDOINGS.keys()
    assert {d.act for d in deals if isinstance(d, PayoutAct)} == PAYOUT_ACTS.keys()
    keys: dict[str, tuple[str, str]] = {}
    for deal in deals:
        if isinstance(deal, Buy):
            assert keys.setdefault(deal.key, (deal.user, deal.package)) == (deal.user, deal.package)
