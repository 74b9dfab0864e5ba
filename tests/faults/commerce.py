"""Commerce among the faults: purchases, withdrawals, own limits and payouts, and the plan of who tries them when."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from livegift.payments.sandbox import State

EVERY = 8  # other operations between two of these
WEBS = 2
PROMOTED = "coins-550"
# Sold in a region where orders can be given back within a day; added by the harness.
RETURNABLE = "cn-100"
RETURNABLE_REGION, RETURNABLE_COINS, RETURNABLE_PRICE = "CN", 100, ("CNY", 1_400)
PACKAGES = ("coins-100", "coins-550", PROMOTED, RETURNABLE, RETURNABLE, "coins-1250", "coins-5450")
# Good deliveries bring the payment's event, bad ones must never have an effect; foreign ones are of another product.
# 'declined' is good, and may be overtaken.
GOOD = {"page": 5, "webhook": 3, "both webs": 2, "old secret": 2, "declined": 1}
BAD = {
    "no secret of ours": 1,
    "a secret that is gone": 1,
    "too old": 1,
    "changed": 1,
    "another amount": 1,
    "foreign": 3,
}
REVERSALS = {"admin": 3, "admin twice": 2, "refunded": 2, "disputed": 2, "all at once": 1, "won": 2, "failed": 2}
# The event that ends a reversal, so that the money is there again -> the event that began it.
ENDS: dict[str, State] = {"dispute_won": "disputed", "refund_failed": "refunded"}
WITHDRAWALS = {"once": 3, "both webs": 2, "all of a user": 1}
UNDOINGS = {"sender": 4, "both webs": 3, "operators": 2, "stranger": 1}
LIMITS = (60_000, 50_000, 40_000, 30_000)  # coins per month: each is lower, as a higher one would wait for a day
DIAMONDS = (100, 101, 500, 1_000, 5_000, 10**9)
PAYOUT_ACTS = {"ask": 5, "cancel": 1, "approve": 5, "reject": 1, "batch": 3, "paid": 3, "failed": 2}


@dataclass(frozen=True, slots=True)
class Buy:
    """Request an order under a key, once or through both processes at once."""

    key: str
    user: str
    package: str
    webs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Deliver something to the webhook. `pick` chooses among the orders that exist then."""

    how: str
    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class Reverse:
    """Return the money, by an operator or at the provider."""

    how: str
    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Withdraw an order as its buyer."""

    how: str
    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class Spree:
    """Have a poor user buy, and at once spend the coins and withdraw the order, several times."""

    key: str
    user: str
    withdrawals: int
    gifts: tuple[int, ...]  # counts of `SPREE_GIFT`
    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a gift back. `pick` chooses among those that were accepted lately."""

    how: str
    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Set a lower limit as the limited user."""

    coins: int
    web: int


@dataclass(frozen=True, slots=True)
class PayoutAct:
    """Request a payout under a key, or do something with one that exists then."""

    act: str
    key: str
    creator: str
    diamonds: int
    pick: int
    web: int


Deal = Buy | Deliver | Reverse | Withdraw | Spree | Undo | Limit | PayoutAct
SPREE_GIFT, SPREE_COUNTS = "coffee", (1, 2, 5, 10)


def make_deals(seed: int, count: int, users: Sequence[str], poor: Sequence[str], creators: Sequence[str]) -> list[Deal]:
    """Return the deals for `count` other operations, from a random source of their own, so that those do not change."""
    rng = Random(f"livegift deals {seed}")  # noqa: S311 - repeatable on purpose
    return [_deal(rng, number, users, poor, creators) for number in range(count // EVERY)]


def _chosen(rng: Random, weights: dict[str, int]) -> str:
    (name,) = rng.choices(list(weights), list(weights.values()))
    return name


def _deal(rng: Random, number: int, users: Sequence[str], poor: Sequence[str], creators: Sequence[str]) -> Deal:
    choice, web, pick = rng.random(), rng.randrange(WEBS), rng.randrange(10**6)
    if choice < 0.25 or number < 5:  # the first ones, so that some exist
        key = f"o{rng.randrange(number)}" if number and rng.random() < 0.1 else f"o{number}"
        webs = (0, 1) if rng.random() < 0.3 else (web,)
        return Buy(key, users[hash_of(key) % len(users)], PACKAGES[hash_of(key) % len(PACKAGES)], webs)
    if choice < 0.5:
        return Deliver(_chosen(rng, GOOD), pick, web)
    if choice < 0.58:
        return Deliver(_chosen(rng, BAD), pick, web)
    if choice < 0.68:
        return Reverse(_chosen(rng, REVERSALS), pick, web)
    if choice < 0.7:
        return Limit(rng.choice(LIMITS), web)
    if choice < 0.76:
        return Withdraw(_chosen(rng, WITHDRAWALS), pick, web)
    if choice < 0.82:
        gifts = tuple(rng.choice(SPREE_COUNTS) for _ in range(rng.randint(1, 4)))
        return Spree(f"s{number}", rng.choice(poor), rng.randint(1, 4), gifts, pick, web)
    if choice < 0.91:
        return Undo(_chosen(rng, UNDOINGS), pick, web)
    key = f"p{rng.randrange(number) if rng.random() < 0.1 else number}"
    at = hash_of(key)
    return PayoutAct(
        _chosen(rng, PAYOUT_ACTS), key, creators[at % len(creators)], DIAMONDS[at % len(DIAMONDS)], pick, web
    )


def hash_of(key: str) -> int:
    """Return a request hash: the same key means the same request."""
    return int.from_bytes(key.encode()) * 2654435761 % 2**32
