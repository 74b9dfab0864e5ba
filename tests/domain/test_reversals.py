"""Disputes and refunds that end: whatever is heard first, and however often, money and coins come again once."""

from dataclasses import replace
from itertools import permutations

import pytest

from livegift.domain.payments import EventKind
from livegift.domain.postings import Transfer
from livegift.features.orders.reversals import Heard, apply_reversal, rounds_of
from livegift.features.orders.rules import Order, Outcome, due_returns, transfers_of

PAID = Order("o1", "ann", 100, 20, 999, "USD", "stripe", "credited", credits=True, credited_coins=120)
Said = tuple[EventKind, str | None]


def sold(leg: Transfer) -> int:
    """What a transfer adds to what was sold."""
    account = "money:sold:USD"
    return leg.amount if leg.credit == account else -leg.amount if leg.debit == account else 0


class World:
    """The pure functions around an order that is credited; what is due in the wallet is booked at once."""

    def __init__(self, order: Order = PAID) -> None:
        self.order, self.money = order, 0
        self.heard: list[Heard] = []
        self.outcomes: list[Outcome] = []

    def hear(self, *said: Said, amount: int = 999) -> list[Outcome]:
        for kind, ref in said:
            transition = apply_reversal(self.order, kind, amount, "USD", ref, self.heard)
            self.heard.append(Heard(kind, ref, transition.outcome))
            self.order = transition.order
            for reason in transition.postings:
                self.money += sum(sold(leg) for leg in transfers_of(reason, transition.order))
            for due in due_returns(self.order):
                if due.delta < 0:
                    self.order = replace(self.order, returned_coins=self.order.returned_coins - due.delta)
                else:
                    restored = self.order.restored_coins + due.delta
                    self.order = replace(self.order, restored_coins=restored, status="credited")
            self.outcomes.append(transition.outcome)
        return self.outcomes


BEGUN: Said = ("disputed", "dp_1")
WON: Said = ("dispute_won", "dp_1")


@pytest.mark.parametrize("said", sorted(set(permutations([BEGUN, BEGUN, WON, WON]))))
def test_a_dispute_that_is_won_costs_nothing_in_any_order(said: tuple[Said, ...]) -> None:
    world = World()
    world.hear(*said)
    assert (world.order.status, world.order.taken_coins, world.money) == ("credited", 0, 0)


def test_a_refund_that_fails_gives_the_coins_again_once_and_can_be_tried_again() -> None:
    world = World()
    world.hear(("refunded", None))
    assert (world.order.status, world.order.taken_coins, world.money) == ("refunded", 120, -999)
    world.hear(("refund_failed", "re_1"), ("refund_failed", "re_1"))
    assert (world.order.status, world.order.taken_coins, world.money) == ("credited", 0, 0)
    assert world.outcomes == ["applied", "applied", "stale"]
    world.hear(("refunded", None))
    assert (world.order.status, world.order.taken_coins, world.money) == ("refunded", 120, -999)
    assert (world.order.round_suffix, rounds_of(world.heard)) == ("-2", 1)


def test_what_nobody_here_can_judge_is_for_a_person() -> None:
    assert World().hear(("refund_failed", "re_1")) == ["mismatch"], "nothing was given back"
    disputed_meanwhile = World()
    assert disputed_meanwhile.hear(("refunded", None), BEGUN, ("refund_failed", "re_1"))[-1] == "mismatch"
    assert disputed_meanwhile.order.status == "refunded", "the money is away all the same"
    assert World().hear(BEGUN, ("dispute_won", "dp_2"))[-1] == "stale", "another one"
    assert World().hear(BEGUN, WON, BEGUN)[-1] == "mismatch", "taken once more"
    refunded_meanwhile = World()
    assert refunded_meanwhile.hear(BEGUN, ("refunded", None), WON) == ["applied", "stale", "mismatch"]
    assert refunded_meanwhile.order.status == "charged_back", "the money is away all the same"
    failed_before = World()
    assert failed_before.hear(("refunded", None), ("refund_failed", "re_1"), BEGUN, WON) == ["applied"] * 4
    partly = World()
    partly.hear(("refunded", None))
    assert partly.hear(("refund_failed", "re_1"), amount=500)[-1] == "partial"


def test_coins_of_a_payment_that_was_heard_of_late_come_when_it_is_won() -> None:
    world = World(Order("o1", "ann", 100, 20, 999, "USD", "stripe"))
    assert world.hear(BEGUN, WON) == ["applied", "applied"]
    assert (world.order.status, world.order.credits, world.money) == (
        "paid",
        True,
        999,
    )
