"""Providers' events about payments: applied once, to the order named, in one transaction with the money."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, false, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import RequestError
from livegift.domain.payments import EventKind
from livegift.features.earnings.public import GivenBack, RefundTerms, claw_back
from livegift.features.orders.odd_payments import was_given_back
from livegift.features.orders.promotions import decide, lock_promotions
from livegift.features.orders.queries import COLUMNS, StoredOrder, order_of, stored_order, write_order
from livegift.features.orders.reversals import REINSTATING, Heard, apply_reversal, rounds_of
from livegift.features.orders.rules import (
    REVERSED,
    UNPAID,
    Order,
    OrderTransition,
    Outcome,
    transfers_of,
    wallet_credits,
)
from livegift.features.orders.tables import early_events, order_events
from livegift.features.orders.tables import orders as table
from livegift.ledger import accounts
from livegift.ledger.engine import Database, has_inserted

_UNPAID_KINDS: frozenset[EventKind] = frozenset({"declined", "expired"})
# Events that may give an order its coins: its payment, or the end of a reversal that arrived before it.
_CREDITING: frozenset[EventKind] = frozenset({"paid", *REINSTATING})


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A provider's event about a payment: the input of `rules.apply_event`, with the names that make it unique.

    It names an order by the order's id, or by the provider's name of its checkout or payment; the other names are None.
    `reversal_ref` is the provider's name of the dispute or refund that it is about.
    """

    provider: str
    id: str
    kind: EventKind
    order_id: str | None
    payment_ref: str | None
    amount: int
    currency: str
    session_ref: str | None = None
    reversal_ref: str | None = None


async def apply(
    database: Database, event: ProviderEvent, terms: RefundTerms
) -> tuple[StoredOrder, Outcome | None] | None:
    """Apply an event in one transaction: it is recorded, the order moves, its money is posted.

    Returns the order afterwards, with None as the outcome when the event was known. Returns None when no known order is
    named: then nothing changes, but an event about a payment is kept in case that payment becomes known.
    """
    async with database.begin() as connection:
        if event.kind in _CREDITING:
            await lock_promotions(connection, (table.c.provider == event.provider) & named_by(event))
        rows = await _meant(connection, event)
        if not rows:
            await _keep(connection, event)
            return None
        row = next((row for row in rows if row.id == event.order_id), rows[0])
        outcome = await _apply(connection, row, event, terms, is_contradictory=len(rows) > 1)
        if outcome == "applied" and event.kind == "paid":
            await _apply_early(connection, row.id, event, terms)
        return stored_order(await _read(connection, row.id)), outcome


def named_by(event: ProviderEvent) -> ColumnElement[bool]:
    """Return a condition for the orders that an event names. A missing name must not match orders without one."""
    names = (
        (table.c.id, event.order_id),
        (table.c.provider_ref, event.session_ref),
        (table.c.payment_ref, event.payment_ref),
    )
    return or_(false(), *(column == name for column, name in names if name))


async def _meant(connection: AsyncConnection, event: ProviderEvent) -> Sequence[Row[Any]]:
    query = select(*COLUMNS).where(table.c.provider == event.provider, named_by(event))
    return (await connection.execute(query.order_by(table.c.id).with_for_update(of=table))).all()


async def _read(connection: AsyncConnection, order_id: str) -> Row[Any]:
    return (await connection.execute(select(*COLUMNS).where(table.c.id == order_id))).one()


async def _apply(
    connection: AsyncConnection,
    row: Row[Any],
    event: ProviderEvent,
    terms: RefundTerms,
    *,
    is_contradictory: bool = False,
) -> Outcome | None:
    # The order is locked: nobody else can note the same event of it at the same time.
    before = await _heard(connection, row)
    transition = _transition(row, event, before, is_contradictory=is_contradictory)
    if event.kind == "refunded" and event.payment_ref and await was_given_back(connection, row.id, event.payment_ref):
        transition = OrderTransition(order_of(row), (), "stale")  # an odd payment, as an operator has decided
    if transition.outcome == "applied" and event.kind in REINSTATING:
        order = order_of(row)
        if order.credits and not order.coins_are_back:
            raise RequestError("unavailable", "The coins that this order has given back are not booked yet.")
    noted = insert(order_events).values(
        provider=event.provider,
        event_id=event.id,
        order_id=row.id,
        kind=event.kind,
        outcome=transition.outcome,
        named_order=event.order_id,
        session_ref=event.session_ref,
        payment_ref=event.payment_ref,
        reversal_ref=event.reversal_ref,
        amount=event.amount,
        currency=event.currency,
    )
    if not await has_inserted(connection, noted.on_conflict_do_nothing()):
        return None
    decision: dict[str, Any] = {}
    if transition.outcome == "applied" and transition.order.credits and not order_of(row).credits:
        # Also when a reversal was the first news of the payment, and did not last.
        order, decision = await decide(connection, row)
        transition = apply_reversal(order, event.kind, event.amount, event.currency, event.reversal_ref, before)
    if transition.outcome == "applied":
        await _move(connection, row, transition.order, event.payment_ref, decision)
    # What was taken from the wallet before the money went back is missing nowhere.
    rounds = rounds_of(before)
    if (
        transition.postings
        and transition.order.status in REVERSED
        and not transition.order.coins_are_back
        and not rounds
    ):
        await _claw_back(connection, transition.order, terms)
    for reason in transition.postings:
        ref = f"{row.id}:{rounds + 1}" if rounds else row.id
        await accounts.post(connection, reason, ref, transfers_of(reason, transition.order))
    return transition.outcome


async def _claw_back(connection: AsyncConnection, order: Order, terms: RefundTerms) -> None:
    if order.credits:
        changes = wallet_credits(order)
        refs, reasons = tuple(change.ref for change in changes), tuple(change.reason for change in changes)
        await claw_back(connection, GivenBack(order.id, order.user, order.total_coins, refs, reasons), terms)


async def _heard(connection: AsyncConnection, row: Row[Any]) -> list[Heard]:
    said = order_events.c
    # The refund of another payment, which an operator has given back, says nothing about the order's own.
    own = or_(said.kind != "refunded", said.payment_ref.is_(None), said.payment_ref == row.payment_ref)
    query = select(said.kind, said.reversal_ref, said.outcome).where(said.order_id == row.id, own)
    rows = await connection.execute(query.order_by(said.at))
    return [Heard(*row) for row in rows]


def _transition(
    row: Row[Any], event: ProviderEvent, before: Sequence[Heard], *, is_contradictory: bool
) -> OrderTransition:
    order = order_of(row)
    if event.kind not in _UNPAID_KINDS:
        if is_contradictory:  # it names two
            return OrderTransition(order, (), "mismatch")
        if event.payment_ref and row.payment_ref and event.payment_ref != row.payment_ref:
            return OrderTransition(order, (), "duplicate" if event.kind == "paid" else "mismatch")
    return apply_reversal(order, event.kind, event.amount, event.currency, event.reversal_ref, before)


async def _move(
    connection: AsyncConnection, row: Row[Any], order: Order, payment_ref: str | None, values: dict[str, Any]
) -> None:
    if order.status not in UNPAID and row.payment_ref is None:
        values["payment_ref"] = payment_ref
    if order.credits and row.paid_at is None:
        values["paid_at"] = func.now()
    await write_order(connection, row, order, values)


# --- Events that came before the one that tells whose they are --------------------------------------------------------


async def _keep(connection: AsyncConnection, event: ProviderEvent) -> None:
    """Keep an event if it can turn out to be ours: it is about a payment and names no foreign order."""
    if event.kind in _UNPAID_KINDS or event.kind == "paid" or event.order_id or not event.payment_ref:
        return
    values = {
        "provider": event.provider,
        "event_id": event.id,
        "kind": event.kind,
        "payment_ref": event.payment_ref,
        "reversal_ref": event.reversal_ref,
        "amount": event.amount,
        "currency": event.currency,
    }
    await connection.execute(insert(early_events).values(values).on_conflict_do_nothing())


async def _apply_early(connection: AsyncConnection, order_id: str, event: ProviderEvent, terms: RefundTerms) -> None:
    if not event.payment_ref:
        return
    same = (early_events.c.provider == event.provider) & (early_events.c.payment_ref == event.payment_ref)
    found = (await connection.execute(select(early_events).where(same).order_by(early_events.c.at))).all()
    for early in found:
        row = await _read(connection, order_id)
        kept = ProviderEvent(
            early.provider,
            early.event_id,
            early.kind,
            None,
            early.payment_ref,
            early.amount,
            early.currency,
            reversal_ref=early.reversal_ref,
        )
        await _apply(connection, row, kept, terms)
    await connection.execute(delete(early_events).where(same))


async def forget_early_events(database: Database, older_than_s: float) -> int:
    """Delete kept events whose payment never became known; returns how many."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    async with database.begin() as connection:
        return (await connection.execute(delete(early_events).where(early_events.c.at < func.now() - age))).rowcount
