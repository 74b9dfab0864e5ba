"""The requests and responses of the routes of orders and payments."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from livegift.contract.bounds import GIFT_COUNT_MAX, ORDER_COINS_MAX
from livegift.contract.http import Currency, MinorUnits, Page, PageQuery
from livegift.contract.values import Coins, Id, TimeMs, UserId
from livegift.domain.payments import EventKind
from livegift.features.orders.odd_payments import Decision
from livegift.features.orders.rules import Outcome, Status


class Shortfall(Struct, frozen=True, forbid_unknown_fields=True):
    """The gift that somebody lacks coins for.

    Its text is hashed with what an Idempotency-Key stands for: another name or field makes repeated orders conflicts.
    """

    gift_id: Id
    count: Annotated[int, Meta(ge=1, le=GIFT_COUNT_MAX)] = 1


class OrderRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An order of a package, of a number of coins, or of as many as a gift lacks now: exactly one of the three."""

    package_id: Id | None = None
    shortfall_coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)] | None = None
    shortfall: Shortfall | None = None
    region: Id | None = None
    provider: Id | None = None


class OrderView(Struct, frozen=True):
    """An order. `…_before` is what it would be without its promotion, which is decided when it is paid.

    `restored_coins` were taken and given back, because the money came again: a refund failed, or a dispute was won.
    """

    id: Id
    status: Status
    checkout_url: str | None
    package_id: Id | None
    coins: Coins
    bonus_coins: Coins
    restored_coins: Coins
    amount: MinorUnits
    currency: Currency
    region: str
    priced_region: str | None
    bonus_coins_before: Coins
    amount_before: MinorUnits
    promotion_id: Id | None
    promotion_granted: bool | None
    created_ms: TimeMs
    withdrawal_notice: str


class OrderPage(Page[OrderView], frozen=True):
    """Orders, newest first."""


class OrdersOfUserQuery(PageQuery, frozen=True, kw_only=True):
    """A page of the orders of one user."""

    user: Annotated[UserId, Meta(description="the id of a user")]


class EventReceived(Struct, frozen=True):
    """The event is durable, or was not about our orders."""

    received: Literal[True] = True


class OddPaymentView(Struct, frozen=True):
    """A provider's event that does not fit its order, together with the order in `order_…`."""

    provider: str
    event_id: str
    kind: EventKind
    outcome: Outcome
    order_id: Id
    user: UserId
    order_status: Status
    payment_ref: str | None
    amount: MinorUnits
    currency: Currency
    order_payment_ref: str | None
    order_amount: MinorUnits
    order_currency: Currency
    decision: Decision | None
    at_ms: TimeMs


class OddPaymentPage(Page[OddPaymentView], frozen=True):
    """Payments that await an operator's decision, oldest first."""
