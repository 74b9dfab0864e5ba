"""What payment providers say, in words of our own: the events of a payment, and a payment as they list it."""

from typing import Literal, NamedTuple

EventKind = Literal["paid", "declined", "expired", "refunded", "disputed", "refund_failed", "dispute_won"]


class Payment(NamedTuple):
    """What a provider says about one payment. `order_id` is None for one that is not of ours."""

    order_id: str | None
    ref: str
    amount: int
    currency: str
    refunded: int = 0
    disputed: bool = False
