"""An order's way: whatever is duplicated, reordered or stale, money and coins move once and end where they should."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.errors import RequestError
from livegift.domain.currencies import (
    CURRENCIES,
    amount_of_usd,
    charge_amount_min,
    currency_of,
    from_stripe,
    round_up,
    to_stripe,
)
from livegift.domain.payments import EventKind, Payment
from livegift.domain.postings import sums
from livegift.features.orders.rules import (
    REVERSED,
    UNPAID,
    CoinPrice,
    Order,
    PostingReason,
    apply_event,
    base_price,
    begin_withdrawal,
    coins_refused,
    differences,
    due_credits,
    due_returns,
    entry_booked,
    money_refused,
    shortfall_offer,
    transfers_of,
)
from tests.domain.operations import quick

NEW = Order("ord-1", "ann", 100, 20, 199, "USD", "sandbox")
KINDS: tuple[EventKind, ...] = ("paid", "declined", "expired", "refunded", "disputed")
kinds = st.sampled_from(KINDS)
events = st.tuples(kinds, st.sampled_from((199, 199, 199, 198, 50, 200)), st.sampled_from(("USD", "USD", "EUR")))


class World:
    """The pure functions with a wallet that knows refs, as the stores do it around them."""

    def __init__(self, bonus: int = 20) -> None:
        self.order = Order("ord-1", "ann", 100, bonus, 199, "USD", "sandbox")
        self.postings: list[PostingReason] = []
        self.wallet: dict[str, int] = {}
        self.spent = 0
        self.unbooked: list[tuple[int, str]] = []
        # What withdrawals have asked the provider for, and whether the coins were there when they did.
        self.asked_too_soon = False

    @property
    def balance(self) -> int:
        return sum(self.wallet.values()) - self.spent

    def hear(self, kind: EventKind, amount: int = 199, currency: str = "USD") -> str:
        transition = apply_event(self.order, kind, amount, currency)
        self.order = transition.order
        self.postings += transition.postings
        return transition.outcome

    def settle(self, upto: int = 9, seen: Order | None = None) -> None:
        """The wallet's changes, or the first `upto` of them: then the process dies. `seen`: what it knew, maybe old."""
        seen = seen or self.order
        for due in (*due_credits(seen), *due_returns(seen))[:upto]:
            if due.ref in self.wallet:
                continue
            if seen.status == "withdrawing" and due.delta < 0 and self.balance + due.delta < 0:
                self.order = coins_refused(self.order)
                return
            self.wallet[due.ref] = due.delta
            self.unbooked.append((due.delta, due.reason))

    def begin(self) -> None:
        with suppress(RequestError):
            self.order = begin_withdrawal(self.order)

    def pay(self, *, refuses: bool = False) -> None:
        """The provider is asked for the money of a withdrawal."""
        if self.order.status == "withdrawing" and self.order.coins_are_back:
            # It is asked only for coins that are gone from the wallet.
            self.asked_too_soon |= sum(self.wallet.values()) > 0
            if refuses:
                self.order = money_refused(self.order)
            else:
                self.hear("refunded")

    def spend(self, coins: int) -> None:
        if coins <= self.balance:
            self.spent += coins

    def book(self) -> None:
        if self.unbooked:
            self.order = entry_booked(self.order, *self.unbooked.pop(0))

    def finish(self) -> None:
        for _ in range(6):
            self.settle()
            while self.unbooked:
                self.book()
            self.pay()


operations = st.lists(
    st.one_of(
        events,
        st.tuples(st.just("settle"), st.integers(0, 3)),
        st.tuples(st.sampled_from(("book", "begin", "pay", "refuse", "remember", "settle late"))),
        st.tuples(st.just("spend"), st.sampled_from((1, 50, 120))),
    ),
    max_size=24,
)


def run(happened: list[tuple[object, ...]], bonus: int) -> World:
    world = World(bonus)
    seen = world.order
    for operation in happened:
        match operation:
            case ("settle", int(upto)):
                world.settle(upto)
            case ("spend", int(coins)):
                world.spend(coins)
            case ("book",):
                world.book()
            case ("begin",):
                world.begin()
            case ("pay",):
                world.pay()
            case ("refuse",):
                world.pay(refuses=True)
            case ("remember",):
                seen = world.order
            case ("settle late",):
                world.settle(seen=seen)
            case (str(kind), int(amount), str(currency)):
                world.hear(kind, amount, currency)  # type: ignore[arg-type]
    world.finish()
    return world


@quick
@given(operations, st.sampled_from((0, 20)))
def test_any_order_of_events_withdrawals_crashes_and_bookings_ends_with_exact_money(
    happened: list[tuple[object, ...]], bonus: int
) -> None:
    world = run(happened, bonus)
    order = world.order
    assert max(Counter(world.postings).values(), default=0) <= 1
    assert not due_credits(order)
    assert not due_returns(order)
    assert order.status not in ("paid", "withdrawing", "restoring")
    assert not world.asked_too_soon
    moved = Counter({"sold": 0})
    for reason in world.postings:
        for (name, _), change in sums(transfers_of(reason, order)).items():
            moved[name.split(":")[1]] += change
    coins = sum(world.wallet.values())
    if order.status == "credited":
        assert (coins, moved["sold"]) == (order.total_coins, 199)
    else:
        assert (coins, moved["sold"]) == (0, 0)
    assert order.taken_coins == (order.total_coins if order.status in REVERSED and order.credits else 0)


@quick
@given(operations, st.sampled_from((0, 20)))
def test_a_withdrawal_alone_never_leaves_a_wallet_below_zero(happened: list[tuple[object, ...]], bonus: int) -> None:
    world = run([one for one in happened if one[0] not in ("refunded", "disputed")], bonus)
    assert world.balance >= 0


def test_a_withdrawal_takes_then_pays_and_a_refused_one_gives_back() -> None:
    world = World()
    world.hear("paid")
    world.settle()
    world.begin()
    assert [due.ref for due in due_returns(world.order)] == ["withdrawal:ord-1"]
    world.pay()
    assert world.postings == ["sale"], "nothing is paid before the coins are booked as taken"
    world.settle()
    while world.unbooked:
        world.book()
    assert (world.balance, world.order.coins_are_back) == (0, True)
    world.pay(refuses=True)
    assert world.order.status == "restoring"
    with pytest.raises(RequestError, match="conflict"):
        begin_withdrawal(world.order)
    world.finish()
    assert (world.order.status, world.balance, world.postings) == ("credited", 120, ["sale"])
    world.begin()
    world.finish()
    assert (world.order.status, world.balance, world.postings) == ("refunded", 0, ["sale", "refund"])
    assert list(world.wallet) == [
        "order:ord-1", "bonus:ord-1", "withdrawal:ord-1", "restored:ord-1", "withdrawal:ord-1:2"
    ]  # fmt: skip


def test_coins_that_were_taken_after_all_are_paid_for() -> None:
    world = World()
    world.hear("paid")
    world.finish()
    world.begin()
    seen = world.order
    world.order = coins_refused(world.order)
    assert world.order.status == "credited"
    world.settle(seen=seen)  # a command that was late on its way
    world.finish()
    assert (world.order.status, world.balance) == ("refunded", 0)


@quick
@given(st.permutations(["paid", "declined", "expired", "refunded", "disputed"] * 2), st.integers(1, 10))
def test_what_was_heard_before_changes_nothing(order_of_events: list[EventKind], upto: int) -> None:
    world = World()
    for kind in order_of_events[:upto]:
        world.hear(kind)
    before, postings = world.order, list(world.postings)
    for kind in order_of_events[:upto]:
        if kind != "paid" or before.status not in UNPAID:
            world.hear(kind)
    assert (world.order, world.postings) == (before, postings)


def test_money_that_comes_late_is_honoured() -> None:
    for first in ("declined", "expired"):
        world = World()
        world.hear(first)  # type: ignore[arg-type]
        world.hear("paid")
        world.finish()
        assert (world.order.status, world.wallet) == ("credited", {"order:ord-1": 100, "bonus:ord-1": 20})


def test_a_refund_that_is_heard_of_first_moves_money_twice_and_no_coins() -> None:
    world = World()
    assert world.hear("refunded") == "applied"
    assert world.hear("paid") == "stale"
    world.finish()
    assert (world.order.status, world.postings, world.wallet) == ("refunded", ["sale", "refund"], {})


def test_a_refund_before_the_credit_has_landed_credits_first() -> None:
    world = World()
    world.hear("paid")
    world.hear("refunded")
    world.settle()
    assert list(world.wallet) == ["order:ord-1", "bonus:ord-1", "refund:ord-1"]
    world.finish()
    assert sum(world.wallet.values()) == 0


def test_another_amount_or_currency_is_for_a_person() -> None:
    world = World()
    assert [world.hear("paid", 198), world.hear("paid", 200), world.hear("paid", 199, "EUR")] == ["mismatch"] * 3
    world.hear("paid")
    assert world.hear("refunded", 50) == "partial"
    assert world.order.status == "paid"


@quick
@given(
    st.integers(1, 10**6),
    st.integers(1, 10**5),
    st.integers(1, 10**6),
    st.integers(1, 100),
    st.sampled_from((1, 10, 100)),
)
def test_a_shortfall_is_covered_at_the_base_price_and_never_below(
    coins: int, of: int, amount: int, least: int, step: int
) -> None:
    price = CoinPrice(of, amount, "USD")
    offer = shortfall_offer(coins, price, least, step)
    assert offer.coins >= coins
    assert offer.amount >= least
    assert offer.amount * price.coins >= coins * price.amount
    assert offer.amount % step == 0
    if offer.amount > -(-least // step) * step:
        assert (offer.amount - step) * price.coins < coins * price.amount
    if offer.coins > coins:  # what is paid for is given
        assert (offer.coins + 1) * price.amount > offer.amount * price.coins
    if step == 1 and price.amount >= price.coins and offer.amount > least:
        assert offer.coins == coins


@pytest.mark.parametrize("code", sorted(CURRENCIES))
@pytest.mark.parametrize("coins", [1, 5, 100, 333])
def test_a_shortfall_can_be_charged_in_every_currency(code: str, coins: int) -> None:
    step = currency_of(code).price_step
    price = round_up(amount_of_usd(9_990_000, code), step)  # of 550 coins
    offer = shortfall_offer(coins, CoinPrice(550, price, code), charge_amount_min(code), step)
    assert offer.coins >= coins
    assert from_stripe(to_stripe(offer.amount, code), code) == offer.amount >= charge_amount_min(code)


def test_the_base_price_is_the_one_without_a_discount() -> None:
    assert base_price(
        [CoinPrice(550, 999, "USD"), CoinPrice(100, 199, "USD"), CoinPrice(1250, 1999, "USD")]
    ) == CoinPrice(100, 199, "USD")
    assert base_price([]) is None


def test_each_difference_is_named() -> None:
    credited = Order("a", "ann", 100, 0, 199, "USD", "sandbox", "credited")
    orders = {
        "a": credited,
        "b": Order("b", "ann", 100, 0, 199, "USD", "sandbox"),
        "c": Order("c", "ann", 100, 0, 199, "USD", "sandbox", "refunded"),
        "d": Order("d", "ann", 100, 0, 199, "USD", "sandbox", "paid"),
    }
    good = Payment("a", "p1", 199, "USD")
    assert differences({"a": credited}, [good]) == []
    assert differences({"c": orders["c"]}, [Payment("c", "p", 199, "USD", refunded=199)]) == []
    assert differences({"c": orders["c"]}, [Payment("c", "p", 199, "USD", disputed=True)]) == []
    found = differences(
        orders,
        [
            good._replace(amount=198),
            good._replace(ref="p2"),
            Payment("b", "p3", 199, "USD"),
            Payment("c", "p4", 199, "USD", refunded=50),
            Payment(None, "p5", 7, "USD"),
        ],
    )
    assert found == [
        "order a (payment p1): 198 USD there, 199 USD here",
        "order a: paid twice, by p1 and by p2",
        "order b (payment p3): paid there, created here",
        "order c (payment p4): 50 refunded there, refunded here",
        "payment p5: no order (none named)",
        "order d: paid here, the provider knows no payment",
    ]
