"""An order's way: whatever is duplicated, reordered or stale, money and coins move once and end where they should."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.orders import (
    REVERSED,
    UNPAID,
    Act,
    EventKind,
    Order,
    Payment,
    Rate,
    apply_event,
    base_rate,
    credit_steps,
    differences,
    entry_booked,
    legs,
    return_steps,
    shortfall_offer,
)
from livegift.domain.postings import sums
from tests.domain.operations import quick

NEW = Order("ord-1", "ann", 100, 20, 199, "USD", "sandbox")
KINDS: tuple[EventKind, ...] = ("paid", "declined", "expired", "refunded", "disputed")
kinds = st.sampled_from(KINDS)
events = st.tuples(kinds, st.sampled_from((199, 199, 199, 198, 50, 200)), st.sampled_from(("USD", "USD", "EUR")))


class World:
    """The pure functions with a wallet that knows refs, as the stores do it around them."""

    def __init__(self, bonus: int = 20) -> None:
        self.order = Order("ord-1", "ann", 100, bonus, 199, "USD", "sandbox")
        self.acts: list[Act] = []
        self.wallet: dict[str, int] = {}
        self.unbooked: list[int] = []

    def hear(self, kind: EventKind, amount: int = 199, currency: str = "USD") -> str:
        step = apply_event(self.order, kind, amount, currency)
        self.order = step.order
        self.acts += step.acts
        return step.outcome

    def settle(self, upto: int = 9) -> None:
        """The wallet's changes, or the first `upto` of them: then the process dies."""
        for step in (*credit_steps(self.order), *return_steps(self.order))[:upto]:
            if step.ref not in self.wallet:
                self.wallet[step.ref] = step.delta
                self.unbooked.append(step.delta)

    def book(self) -> None:
        if self.unbooked:
            self.order = entry_booked(self.order, self.unbooked.pop(0))

    def finish(self) -> None:
        self.settle()
        while self.unbooked:
            self.book()
        self.settle()
        while self.unbooked:
            self.book()


operations = st.lists(
    st.one_of(events, st.tuples(st.just("settle"), st.integers(0, 3)), st.just(("book",))), max_size=14
)


@quick
@given(operations, st.sampled_from((0, 20)))
def test_any_order_of_events_crashes_and_bookings_ends_with_exact_money(
    happened: list[tuple[object, ...]], bonus: int
) -> None:
    world = World(bonus)
    for operation in happened:
        match operation:
            case ("settle", int(upto)):
                world.settle(upto)
            case ("book",):
                world.book()
            case (str(kind), int(amount), str(currency)):
                world.hear(kind, amount, currency)  # type: ignore[arg-type]
    world.finish()
    order = world.order
    assert max(Counter(world.acts).values(), default=0) <= 1
    assert not credit_steps(order)
    assert not return_steps(order)
    assert order.status != "paid"
    moved = Counter({"sold": 0})
    for act in world.acts:
        for (name, _), change in sums(legs(act, order)).items():
            moved[name.split(":")[1]] += change
    coins = sum(world.wallet.values())
    if order.status == "credited":
        assert (coins, moved["sold"]) == (order.total_coins, 199)
    else:
        assert (coins, moved["sold"]) == (0, 0)
    assert order.returned_coins == (order.total_coins if order.status in REVERSED and order.credits else 0)


@quick
@given(st.permutations(["paid", "declined", "expired", "refunded", "disputed"] * 2), st.integers(1, 10))
def test_what_was_heard_before_changes_nothing(order_of_events: list[EventKind], upto: int) -> None:
    world = World()
    for kind in order_of_events[:upto]:
        world.hear(kind)
    before, acts = world.order, list(world.acts)
    for kind in order_of_events[:upto]:
        if kind != "paid" or before.status not in UNPAID:
            world.hear(kind)
    assert (world.order, world.acts) == (before, acts)


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
    assert (world.order.status, world.acts, world.wallet) == ("refunded", ["sale", "refund"], {})


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
@given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(1, 10**6), st.integers(1, 100))
def test_a_shortfall_is_covered_at_the_base_rate_and_never_below(coins: int, of: int, amount: int, least: int) -> None:
    rate = Rate(of, amount, "USD")
    offer = shortfall_offer(coins, rate, least)
    assert offer.coins >= coins
    assert offer.amount >= least
    assert offer.amount * rate.coins >= coins * rate.amount
    if offer.amount > least:
        assert offer.coins == coins
        assert (offer.amount - 1) * rate.coins < coins * rate.amount
    else:  # what the minimum pays for is given
        assert (offer.coins + 1) * rate.amount > least * rate.coins


def test_the_base_rate_is_the_one_without_a_discount() -> None:
    assert base_rate([Rate(550, 999, "USD"), Rate(100, 199, "USD"), Rate(1250, 1999, "USD")]) == Rate(100, 199, "USD")
    assert base_rate([]) is None


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
