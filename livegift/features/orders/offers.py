"""Prices for buyers: the region whose prices apply, and the effect of a promotion on a package.

A promotion is offered when the price list or an order is made, and decided when the money comes: see `granted` and
`decided`, and docs/decisions/021.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from livegift.domain.catalogue import DEFAULT_REGION, CoinPackage
from livegift.domain.currencies import CurrencyError, charge_amount_min, currency_of, round_up
from livegift.features.orders.rules import Order, Status

# Who pays in the same currency at the same prices, where the country has none of its own.
_EURO = "AT BE BG CY EE FI GR HR IE IT LT LU LV MT NL PT SI SK AD MC SM VA ME XK"
_PRICED_AS = {**dict.fromkeys(_EURO.split(), "DE"), **dict.fromkeys(("GG", "IM", "JE"), "GB")}


def region_name(region: str) -> str:
    """Return the name under which prices are stored: countries are in capitals."""
    return region.upper() if len(region) == len("DE") else region


def priced_regions(region: str) -> tuple[str, ...]:
    """Return the regions whose prices can apply in `region`, in order: itself, its currency's, `DEFAULT_REGION`."""
    name = region_name(region)
    return tuple(dict.fromkeys((name, _PRICED_AS.get(name, name), DEFAULT_REGION)))


@dataclass(frozen=True, slots=True)
class PromotionTerms:
    """The terms of a promotion: coins on top of a package, and a percentage off its price."""

    id: str
    bonus_coins: int
    percent_off: int


def lowered(amount: int, currency: str, percent_off: int) -> int:
    """Return a price less `percent_off`, rounded down to the currency's step, but at least the minimum card payment."""
    try:
        step, least = currency_of(currency).price_step, charge_amount_min(currency)
    except CurrencyError:
        step, least = 1, 1
    exact = amount * (100 - percent_off) // 100
    return min(amount, max(exact // step * step, round_up(least, step)))


def with_terms(package: CoinPackage, terms: PromotionTerms) -> CoinPackage:
    """Return `package` (at its full price) as it is sold under a promotion."""
    return replace(
        package,
        amount=lowered(package.amount, package.currency, terms.percent_off),
        full_amount=package.amount,
        promotion_id=terms.id,
        promotion_coins=terms.bonus_coins,
    )


def best(package: CoinPackage, running: Iterable[PromotionTerms]) -> CoinPackage:
    """Return `package` under the promotion that gives the most coins for the money; unchanged without one."""
    found = package
    for terms in running:
        other = with_terms(package, terms)
        if found.promotion_id is None or _is_better(other, found):
            found = other
    return found


def _is_better(one: CoinPackage, other: CoinPackage) -> bool:
    mine, theirs = one.total_coins * other.amount, other.total_coins * one.amount
    return mine > theirs or (mine == theirs and (one.promotion_id or "") < (other.promotion_id or ""))


# --- Decided when the money comes -------------------------------------------------------------------------------------


def granted(status: Status, *, used: int, per_user_max: int, runs_now: bool, ran_then: bool) -> bool:
    """Return whether an order that was made under a promotion gets it when its money comes.

    An order at an open checkout gets it even if the promotion has ended meanwhile (`ran_then`: it ran when the order
    was made). For an order that was declined or has expired, only a promotion that `runs_now` counts. In both cases at
    most `per_user_max` (0: no limit) paid orders of one user get it; `used` of them have it so far.
    """
    in_time = runs_now or (status == "created" and ran_then)
    return in_time and (not per_user_max or used < per_user_max)


@dataclass(frozen=True, slots=True)
class Offered:
    """The coins that an order offered under its promotion, and the package's full price."""

    coins: int
    bonus_coins: int
    promotion_coins: int
    full_amount: int


def decided(order: Order, offered: Offered, *, has_it: bool) -> Order:
    """Return `order` with the coins that it gives: those offered, or what its money buys without the promotion.

    Without it there are no extra coins, and if the price was lowered, as many coins as the money buys at the full
    price, rounded down: no money is kept for nothing.
    """
    if has_it:
        return replace(order, coins=offered.coins, bonus_coins=offered.bonus_coins)
    bonus = offered.bonus_coins - offered.promotion_coins
    if order.amount >= offered.full_amount:
        return replace(order, coins=offered.coins, bonus_coins=bonus)
    coins = max(1, offered.coins * order.amount // offered.full_amount)
    return replace(order, coins=coins, bonus_coins=bonus * order.amount // offered.full_amount)
