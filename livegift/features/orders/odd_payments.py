"""Payments that do not fit their orders: a wrong amount or currency, a partial or a second one; operators decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import RequestError
from livegift.domain.payments import EventKind
from livegift.features.orders.rules import Outcome, Status
from livegift.features.orders.tables import UNDECIDED, orders
from livegift.features.orders.tables import order_events as table
from livegift.ledger import audit_trail
from livegift.ledger.engine import Database

Decision = Literal["refund", "dismiss"]


@dataclass(frozen=True, slots=True)
class OddPayment:
    """An event signed by a provider, next to its order. Amounts are in minor units.

    `is_of` is the order, this one or another, that the payment has paid.
    """

    provider: str
    event_id: str
    kind: EventKind
    outcome: Outcome
    order_id: str
    user: str
    order_status: Status
    payment_ref: str | None
    amount: int
    currency: str
    order_payment_ref: str | None
    order_amount: int
    order_currency: str
    decision: Decision | None
    at: datetime
    is_of: str | None


_paid = orders.alias("paid")
_IS_OF = select(_paid.c.id).where(_paid.c.provider == table.c.provider, _paid.c.payment_ref == table.c.payment_ref)
_COLUMNS = (
    table,
    _IS_OF.scalar_subquery().label("is_of"),
    orders.c.user_id,
    orders.c.status,
    orders.c.amount.label("order_amount"),
    orders.c.currency.label("order_currency"),
    orders.c.payment_ref.label("order_payment_ref"),
)


def _odd(row: Row[Any]) -> OddPayment:
    return OddPayment(
        row.provider, row.event_id, row.kind, row.outcome, row.order_id, row.user_id, row.status, row.payment_ref,
        row.amount, row.currency, row.order_payment_ref, row.order_amount, row.order_currency, row.decision, row.at,
        row.is_of,
    )  # fmt: skip


async def list_odd(database: Database, after: str, limit: int) -> list[OddPayment]:
    """Return undecided payments, oldest first, after the event `after`."""
    query = select(*_COLUMNS).join(orders, orders.c.id == table.c.order_id).where(text(f"({UNDECIDED})"))
    if after:
        last = select(table.c.at, table.c.event_id).where(table.c.event_id == after).limit(1)
        query = query.where(tuple_(table.c.at, table.c.event_id) > last.scalar_subquery())
    async with database.begin() as connection:
        rows = await connection.execute(query.order_by(table.c.at, table.c.event_id).limit(limit))
        return [_odd(row) for row in rows]


def _same(provider: str, event_id: str) -> ColumnElement[bool]:
    return (table.c.provider == provider) & (table.c.event_id == event_id)


async def read_odd(database: Database, provider: str, event_id: str) -> OddPayment:
    """Return a payment that awaits a decision, or has one. Raises RequestError('not_found')."""
    query = select(*_COLUMNS).join(orders, orders.c.id == table.c.order_id).where(_same(provider, event_id))
    async with database.begin() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None or row.outcome not in ("mismatch", "partial", "duplicate"):
        raise RequestError("not_found", f"No payment of {provider} waits for a decision under {event_id}.")
    return _odd(row)


async def note_decision(
    database: Database, provider: str, event_id: str, decision: Decision, actor: str, why: str
) -> None:
    """Record a decision, once. Raises RequestError('conflict') when a different one was recorded."""
    values: Mapping[str, Any] = {"decision": decision, "decided_by": actor, "decided_at": func.now(), "why": why}
    async with database.begin() as connection:
        row = (await connection.execute(select(table).where(_same(provider, event_id)).with_for_update())).one()
        if row.decision is not None and row.decision != decision:
            raise RequestError("conflict", f"It was decided already: {row.decision}, by {row.decided_by}.")
        if row.decision is None:
            await connection.execute(update(table).where(_same(provider, event_id)).values(values))
            subject = f"order:{row.order_id}"
            details = {"event": event_id, "payment": row.payment_ref, "why": why}
            await audit_trail.note(connection, actor, f"payment.{decision}", subject, details)


async def was_given_back(connection: AsyncConnection, order_id: str, payment_ref: str) -> bool:
    """Return whether an operator has had that payment, which was not the order's own, given back."""
    mine = (table.c.order_id == order_id) & (table.c.payment_ref == payment_ref) & (table.c.decision == "refund")
    return bool(await connection.scalar(select(func.count()).where(mine)))
