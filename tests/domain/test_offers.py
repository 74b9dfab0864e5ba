"""Prices and promotions: what a list shows is what is given, and no money is kept for nothing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.catalogue import DEFAULT_PACKAGES, CoinPackage
from livegift.domain.currencies import CURRENCIES, charge_amount_min, currency_of
from livegift.domain.prices import REGIONAL_PRICES
from livegift.features.orders.offers import (
    Offered,
    PromotionTerms,
    best,
    decided,
    granted,
    lowered,
    priced_regions,
    with_terms,
)
from livegift.features.orders.rules import Order, Status
from tests.domain.operations import quick

amounts = st.integers(1, 10**9)
percents = st.integers(0, 90)
STATUSES: tuple[Status, ...] = ("created", "declined", "expired")


@quick
@given(amounts, st.sampled_from(sorted(CURRENCIES)), percents)
def test_a_lowered_price_can_be_charged_and_is_never_above_the_full_one(amount: int, code: str, percent: int) -> None:
    price, step = lowered(amount, code, percent), currency_of(code).price_step
    assert 0 < price <= amount
    assert price == amount or price % step == 0
    assert price >= min(amount, charge_amount_min(code))
    if price < amount:
        # In the buyer's favour, unless that can't be charged.
        assert price * 100 <= amount * (100 - percent) or price - charge_amount_min(code) < step
    assert lowered(amount, code, 0) <= amount


terms = st.builds(PromotionTerms, st.sampled_from("abc"), st.integers(0, 500), percents)


@quick
@given(st.integers(1, 10**6), st.integers(0, 1000), amounts, st.lists(terms, max_size=4))
def test_the_best_promotion_is_the_one_with_most_coins_for_the_money(
    coins: int, bonus: int, amount: int, running: list[PromotionTerms]
) -> None:
    package = CoinPackage("p", coins, bonus, amount, "USD")
    found = best(package, running)
    assert (found.promotion_id is None) == (not running)
    for one in running:
        other = with_terms(package, one)
        assert found.total_coins * other.amount >= other.total_coins * found.amount
    assert (found.coins, found.bonus_coins, found.amount_before) == (coins, bonus, amount)


@quick
@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.booleans(), st.booleans()), max_size=12), st.integers(0, 3))
def test_no_order_of_payments_has_a_promotion_more_often_than_allowed(
    payments: list[tuple[Status, bool, bool]], per_user_max: int
) -> None:
    used = 0
    for status, runs_now, ran_then in payments:
        has_it = granted(status, used=used, per_user_max=per_user_max, runs_now=runs_now, ran_then=ran_then)
        if status != "created" and not runs_now:
            assert not has_it, "what was declined or has expired is decided anew"
        if runs_now and (not per_user_max or used < per_user_max):
            assert has_it, "what the list shows is given"
        used += has_it
    assert not per_user_max or used <= per_user_max


@quick
@given(
    coins=st.integers(1, 10**6),
    bonus=st.integers(0, 1000),
    extra=st.integers(0, 1000),
    full=amounts,
    percent=percents,
    has_it=st.booleans(),
)
def test_what_is_given_is_what_was_offered_or_what_the_money_is_worth(
    *, coins: int, bonus: int, extra: int, full: int, percent: int, has_it: bool
) -> None:
    amount = lowered(full, "USD", percent)
    order = Order("o", "ann", coins, bonus + extra, amount, "USD", "sandbox")
    offered = Offered(coins, bonus + extra, extra, full)
    after = decided(order, offered, has_it=has_it)
    if has_it:
        assert after == order
    else:
        assert 1 <= after.coins <= coins
        assert 0 <= after.bonus_coins <= bonus
        # At most one coin less than the money is worth at the full price, and never more (but one coin at least).
        assert (after.coins + 1) * full > coins * amount
        assert after.coins == 1 or after.coins * full <= coins * amount
    assert decided(after, offered, has_it=has_it) == after, "however often it is decided"
    assert decided(after, offered, has_it=True) == order, "an offer that was taken back can be given again"


def test_prices_of_all_regions_fit_their_currency_and_packages() -> None:
    assert len(REGIONAL_PRICES) >= 12
    for region, (code, prices) in REGIONAL_PRICES.items():
        currency = currency_of(code)
        assert len(prices) == len(DEFAULT_PACKAGES)
        assert prices[0] >= charge_amount_min(code)
        assert all(price % currency.price_step == 0 for price in prices), region
        # A larger package is never dearer by the coin, and none is sold for half of what it costs elsewhere.
        for (a, one), (b, other) in pairwise(zip(DEFAULT_PACKAGES, prices, strict=True)):
            assert other * a.coins <= one * b.coins, region
        for package, price in zip(DEFAULT_PACKAGES, prices, strict=True):
            usd = price * currency.usd_micros // 10 ** (currency.minor_digits + 4)
            assert package.amount // 2 <= usd <= package.amount * 2, (region, package.id, usd)
    assert REGIONAL_PRICES["US"] == ("USD", tuple(package.amount for package in DEFAULT_PACKAGES))


def test_whose_prices_hold_where() -> None:
    assert priced_regions("US") == ("US",)
    assert priced_regions("it") == ("IT", "DE", "US")
    assert priced_regions("JE") == ("JE", "GB", "US")
    assert priced_regions("zz-own") == ("zz-own", "US")
