"""Money that was returned and came again: disputes that are won, refunds that fail after they were made.

A dispute or refund has a name at the provider, which ties its beginning to its end, in whatever order the two arrive.
Its end gives back what it took: the money in the books, and the coins (the order is `restoring`).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from livegift.domain.payments import EventKind
from livegift.features.orders.rules import Order, OrderTransition, Outcome, Status, apply_event

# The event that ends a reversal -> the status that it ends.
REINSTATING: dict[EventKind, Status] = {"dispute_won": "charged_back", "refund_failed": "refunded"}


class Heard(NamedTuple):
    """An event of the same order that was recorded before."""

    kind: EventKind
    ref: str | None
    outcome: Outcome


def rounds_of(before: Iterable[Heard]) -> int:
    """Return how often the order's money has come again."""
    return sum(heard.kind in REINSTATING and heard.outcome == "applied" for heard in before)


def apply_reversal(
    order: Order, kind: EventKind, amount: int, currency: str, ref: str | None, before: Iterable[Heard]
) -> OrderTransition:
    """Apply an event that belongs to the dispute or refund named `ref`, as `apply_event` does for others."""
    noted = list(before)
    if kind in REINSTATING:
        return _reinstate(order, kind, amount, currency, ref, noted)
    if kind == "disputed" and ref and ("dispute_won", ref) in {heard[:2] for heard in noted}:
        # Its end has overtaken its beginning; or money that had come again is taken once more: an operator decides.
        began = any(heard[:2] == ("disputed", ref) for heard in noted)
        return OrderTransition(order, (), "mismatch" if began else "stale")
    return apply_event(order, kind, amount, currency)


def _reinstate(
    order: Order, kind: EventKind, amount: int, currency: str, ref: str | None, noted: list[Heard]
) -> OrderTransition:
    if (kind, ref) in {heard[:2] for heard in noted}:
        return OrderTransition(order, (), "stale")
    if currency != order.currency or amount > order.amount:
        return OrderTransition(order, (), "mismatch")
    if amount < order.amount:
        return OrderTransition(order, (), "partial")
    if order.status != REINSTATING[kind]:
        # Another reversal came first; a refund that fails although nothing was given back is for an operator.
        return OrderTransition(order, (), "stale" if kind == "dispute_won" else "mismatch")
    disputes = {heard.ref for heard in noted if heard.kind == "disputed"}
    won = {heard.ref for heard in noted if heard.kind == "dispute_won"}
    if kind == "dispute_won":
        if ref not in disputes and None not in disputes:
            return OrderTransition(order, (), "stale")
        won = won | {ref}
        disputes.discard(None)
    if disputes - won or (kind == "dispute_won" and _is_refunded(noted)):
        # The money is away all the same: by another dispute, or by a refund.
        return OrderTransition(order, (), "mismatch")
    # Where the payment was heard of after its end no coins have moved yet: now they are due.
    after = replace(order, status="restoring") if order.credits else replace(order, status="paid", credits=True)
    return OrderTransition(after, ("reinstated",), "applied")


def _is_refunded(noted: list[Heard]) -> bool:
    """Return whether the money was refunded (even while a dispute had it) and the refund has not failed since."""
    failed = [n for n, heard in enumerate(noted) if heard.kind == "refund_failed" and heard.outcome == "applied"]
    since = noted[failed[-1] + 1 if failed else 0 :]
    return any(heard.kind == "refunded" and heard.outcome in ("applied", "stale") for heard in since)
