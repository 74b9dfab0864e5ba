"""Payouts: every way through the states moves each diamond once, there or back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.errors import RequestError
from livegift.domain.postings import sums
from livegift.features.payouts.rules import MOVES, Move, Payout, is_iban, masked, move, payable, transfers_of


@given(st.integers(0, 10**13), st.integers(1, 100_000))
def test_whole_cents_and_no_diamond_lost(diamonds: int, micros: int) -> None:
    whole, cents = payable(diamonds, micros)
    assert whole * micros == cents * 10_000
    assert 0 <= diamonds - whole < 10_000
    assert payable(whole, micros) == (whole, cents)


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=10))
def test_diamonds_are_held_then_paid_or_given_back(moves: list[Move]) -> None:
    payout = Payout("p1", "cleo", 20_000, 10_000)
    posted = [transfers_of(payout)]
    for by_move in moves:
        before = payout
        with suppress(RequestError):
            payout = move(payout, by_move)
        if payout != before:
            posted.append(transfers_of(payout))
    total = sums(transfer for _, transfers in posted for transfer in transfers)
    own, held = total["diamonds:user:cleo", "DIAMOND"], total["diamonds:held:cleo", "DIAMOND"]
    redeemed = total.get(("diamonds:redeemed", "DIAMOND"), 0)
    cents = total.get(("money:bank:USD", "USD"), 0)
    assert own + held + redeemed == 0
    match payout.status:
        case "paid":
            assert (own, held, redeemed, cents) == (-20_000, 0, 20_000, 10_000)
        case "rejected" | "cancelled" | "failed":
            assert (own, held, redeemed, cents) == (0, 0, 0, 0)
        case _:
            assert (own, held, redeemed, cents) == (-20_000, 20_000, 0, 0)


def test_what_is_over_stays_over() -> None:
    paid = Payout("p1", "cleo", 2, 1, "paid")
    assert move(paid, "pay") == paid
    for by_move in ("approve", "reject", "cancel", "send", "fail"):
        with pytest.raises(RequestError, match="conflict"):
            move(paid, by_move)  # type: ignore[arg-type]


def test_ibans() -> None:
    for good in ("DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947"):
        assert is_iban(good)
        assert not is_iban(good[:-1] + ("1" if good[-1] != "1" else "2"))
        assert not is_iban(good.lower())
    for bad in ("", "DE", "DE8937040044053201300", "1289370400440532013000", "DE89 3704 0044 0532 0130 00", "é" * 20):
        assert not is_iban(bad)
    assert masked("DE89370400440532013000") == "DE89…3000"
