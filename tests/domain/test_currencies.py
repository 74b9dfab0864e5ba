"""Currencies: decimals, steps, least charges and Stripe's own way of counting."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.currencies import (
    CURRENCIES,
    CurrencyError,
    amount_of_usd,
    charge_amount_min,
    check_price,
    currency_of,
    from_stripe,
    micros_of,
    minor_digits,
    round_up,
    shown,
    to_stripe,
    usd_micros_of,
)
from tests.domain.operations import quick

CODES = sorted(CURRENCIES)


@pytest.mark.parametrize(
    ("code", "amount", "theirs"),
    [
        ("USD", 999, 999),
        ("JPY", 500, 500),
        ("KWD", 3_050, 3_050),
        ("ISK", 140_000, 14_000_000),  # without decimals, but sent with two zeros
        ("UGX", 370_000, 37_000_000),
        ("MGA", 4_500_000, 45_000),  # with decimals, but sent without
        ("HUF", 350_000, 350_000),  # whole forints in payouts alone
        ("TWD", 30_000, 30_000),
    ],
)
def test_what_stripe_calls_an_amount(code: str, amount: int, theirs: int) -> None:
    assert to_stripe(amount, code) == theirs
    assert from_stripe(theirs, code) == amount


@quick
@given(st.sampled_from(CODES), st.integers(1, 10**9))
def test_there_and_back(code: str, steps: int) -> None:
    amount = steps * currency_of(code).charge_step
    assert from_stripe(to_stripe(amount, code), code) == amount


@pytest.mark.parametrize(("code", "amount"), [("KWD", 3_055), ("BHD", 1), ("MGA", 4_500_050)])
def test_what_cannot_be_charged(code: str, amount: int) -> None:
    for check in (check_price, to_stripe):
        with pytest.raises(CurrencyError, match=f"{code}: expected a multiple of 10"):
            check(amount, code)


@pytest.mark.parametrize("code", ["ISK", "UGX"])
def test_a_part_that_the_currency_does_not_have(code: str) -> None:
    with pytest.raises(CurrencyError, match="multiple of 100"):
        from_stripe(14_000_050, code)


@pytest.mark.parametrize("code", ["", "usd", "XXX", "€"])
def test_a_currency_that_nobody_knows(code: str) -> None:
    assert minor_digits(code) == 2
    for call in (currency_of, charge_amount_min):
        with pytest.raises(CurrencyError, match="such as USD"):
            call(code)


@pytest.mark.parametrize("code", CODES)
def test_each_row_is_whole(code: str) -> None:
    found = currency_of(code)
    assert len(code) == 3
    assert code.isupper()
    assert found.price_step % found.charge_step == 0
    least = charge_amount_min(code)
    check_price(least, code)
    assert least % found.price_step == 0
    # About half a dollar: never below what would be refused, never so much that it is another purchase.
    assert 500_000 <= usd_micros_of(least, code, {}) < 800_000


def test_the_rows_are_in_order_and_each_is_there_once() -> None:
    for digits in (2, 0, 3):
        codes = [code for code, found in CURRENCIES.items() if found.minor_digits == digits]
        assert all(a < b for a, b in pairwise(codes))


@quick
@given(st.sampled_from(CODES), st.integers(1, 10**10))
def test_worth_there_and_back(code: str, usd_micros: int) -> None:
    amount = amount_of_usd(usd_micros, code)
    assert usd_micros_of(amount, code, {}) >= usd_micros > usd_micros_of(amount - 1, code, {})


def test_an_operators_rate_goes_first() -> None:
    assert usd_micros_of(100, "EUR", {"EUR": 1_080_000}) == 1_080_000
    assert usd_micros_of(100, "USD", {"USD": 5}) == 1_000_000


def test_micros_are_of_the_unit() -> None:
    assert [micros_of(999, code) for code in ("USD", "KRW", "KWD")] == [9_990_000, 999_000_000, 999_000]


@quick
@given(st.integers(0, 10**9), st.integers(1, 1000))
def test_rounding_up(amount: int, step: int) -> None:
    assert amount <= round_up(amount, step) < amount + step
    assert round_up(amount, step) % step == 0


def test_as_people_read_it() -> None:
    given = [(999, "USD"), (13_900, "KRW"), (3_050, "KWD"), (-5, "EUR"), (123_456_789, "IDR")]
    expected = ["9.99 USD", "13,900 KRW", "3.050 KWD", "-0.05 EUR", "1,234,567.89 IDR"]
    assert [shown(*amount) for amount in given] == expected
