"""Payments, independent of the provider: the kinds of events, and a payment as providers list it."""

from typing import Literal, NamedTuple

EventKind = Literal["paid", "declined", "expired", "refunded", "disputed", "refund_failed", "dispute_won"]


class Payment(NamedTuple):
    """A payment as its provider has it. `order_id` is None for one that was not made through livegift."""

    order_id: str | None
    ref: str
    amount: int
    currency: str
    refunded: int = 0
    disputed: bool = False
