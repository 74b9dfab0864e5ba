"""Orders as stored: created once per Idempotency-Key, moved by `payment_events`, finished as entries are booked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.journal import WalletChanged
from livegift.features.orders.offers import Offered
from livegift.features.orders.rules import REVERSED, Order, entry_booked, order_id_of
from livegift.features.orders.tables import UNFINISHED
from livegift.features.orders.tables import orders as table
from livegift.ledger.engine import Database
from livegift.ledger.participants import Batch

# The reasons of wallets' changes that belong to orders; the ref is '<reason>:<order>', from the second round on ':<n>'.
REASONS = {
    "order": "coins:sold",
    "bonus": "coins:bonus",
    "refund": "coins:refunded",
    "withdrawal": "coins:refunded",  # by the buyer, before the money
    "restored": "coins:refunded",  # because the money could not be given back after all
    "chargeback": "coins:charged_back",
}


@dataclass(frozen=True, slots=True)
class OrderPromotion:
    """The promotion that an order was made under. `granted` is None until the money comes."""

    id: str
    offered: Offered
    granted: bool | None


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order with the fields that only the store has. Ages are by PostgreSQL's clock; None: it has not happened."""

    order: Order
    region: str
    package_id: str | None
    request_hash: str
    provider_ref: str | None
    payment_ref: str | None
    checkout_url: str | None
    created_at: datetime
    paid_age_s: float | None
    reversed_age_s: float | None
    priced_region: str | None = None
    promotion: OrderPromotion | None = None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The input of `create_order`."""

    order: Order
    region: str
    request_hash: str
    idempotency_key: str | None = None
    package_id: str | None = None
    promotion_id: str | None = None
    offered: Offered | None = None
    priced_region: str | None = None


COLUMNS = (
    table,
    func.extract("epoch", func.now() - table.c.paid_at).label("paid_age_s"),
    func.extract("epoch", func.now() - table.c.reversed_at).label("reversed_age_s"),
)


def stored_order(row: Row[Any]) -> StoredOrder:
    """Convert a row of COLUMNS."""
    return StoredOrder(
        order_of(row),
        row.region,
        row.package_id,
        row.request_hash,
        row.provider_ref,
        row.payment_ref,
        row.checkout_url,
        row.created_at,
        None if row.paid_age_s is None else float(row.paid_age_s),
        None if row.reversed_age_s is None else float(row.reversed_age_s),
        row.priced_region,
        None if row.promotion_id is None else OrderPromotion(row.promotion_id, offered_of(row), row.promotion_granted),
    )


def offered_of(row: Row[Any]) -> Offered:
    """Return what an order with a promotion was made for."""
    return Offered(row.offered_coins, row.offered_bonus_coins, row.promotion_coins, row.full_amount)


def promotion_values(offered: Offered) -> dict[str, Any]:
    """Return the columns for `offered`."""
    return {
        "offered_coins": offered.coins,
        "offered_bonus_coins": offered.bonus_coins,
        "promotion_coins": offered.promotion_coins,
        "full_amount": offered.full_amount,
    }


def order_of(row: Row[Any]) -> Order:
    """Convert a row of the table."""
    return Order(
        row.id,
        row.user_id,
        row.coins,
        row.bonus_coins,
        row.amount,
        row.currency,
        row.provider,
        row.status,
        row.paid_at is not None,
        row.credited_coins,
        row.returned_coins,
        row.restored_coins,
        row.withdrawn,
    )


async def create_order(database: Database, new: NewOrder) -> StoredOrder:
    """Write an order. The same user's same key again returns what was written first, whatever is asked for now."""
    order = new.order
    values: dict[str, Any] = {
        "id": order.id,
        "user_id": order.user,
        "idempotency_key": new.idempotency_key,
        "request_hash": new.request_hash,
        "package_id": new.package_id,
        "region": new.region,
        "priced_region": new.priced_region,
        "currency": order.currency,
        "amount": order.amount,
        "coins": order.coins,
        "bonus_coins": order.bonus_coins,
        "provider": order.provider,
    }
    if new.promotion_id is not None and new.offered is not None:
        values |= {"promotion_id": new.promotion_id, **promotion_values(new.offered)}
    async with database.begin() as connection:
        await connection.execute(insert(table).values(values).on_conflict_do_nothing())
        same = table.c.id == order.id
        if new.idempotency_key is not None:
            same = (table.c.user_id == order.user) & (table.c.idempotency_key == new.idempotency_key)
        return stored_order((await connection.execute(select(*COLUMNS).where(same))).one())


async def note_checkout(database: Database, order_id: str, provider_ref: str, checkout_url: str) -> None:
    """Store where the order can be paid."""
    change = update(table).where(table.c.id == order_id)
    async with database.begin() as connection:
        await connection.execute(change.values(provider_ref=provider_ref, checkout_url=checkout_url))


async def close_unpayable(database: Database, order_id: str) -> None:
    """Close an order for which no checkout can be made."""
    mine = (table.c.id == order_id) & (table.c.status == "created") & table.c.checkout_url.is_(None)
    async with database.begin() as connection:
        await connection.execute(update(table).where(mine).values(status="declined"))


async def read_order(database: Database, order_id: str) -> StoredOrder | None:
    """Return an order, or None."""
    async with database.begin() as connection:
        row = (await connection.execute(select(*COLUMNS).where(table.c.id == order_id))).one_or_none()
    return stored_order(row) if row else None


async def list_orders(database: Database, user: str, after: str, limit: int) -> list[StoredOrder]:
    """Return the user's orders, newest first, those made before the order `after`."""
    query = select(*COLUMNS).where(table.c.user_id == user).order_by(table.c.created_at.desc(), table.c.id.desc())
    if after:
        last = select(table.c.created_at, table.c.id).where(table.c.id == after, table.c.user_id == user)
        query = query.where(tuple_(table.c.created_at, table.c.id) < last.scalar_subquery())
    async with database.begin() as connection:
        rows = (await connection.execute(query.limit(limit))).all()
    return [stored_order(row) for row in rows]


async def write_order(
    connection: AsyncConnection, row: Row[Any], order: Order, more: Mapping[str, Any] | None = None
) -> None:
    """Write the changes of an order whose row is locked, with the times that follow from its status."""
    values: dict[str, Any] = {
        "status": order.status,
        "coins": order.coins,
        "bonus_coins": order.bonus_coins,
        "credited_coins": order.credited_coins,
        "returned_coins": order.returned_coins,
        "restored_coins": order.restored_coins,
        "withdrawn": order.withdrawn,
        **(more or {}),
    }
    if order.status == "credited" and row.credited_at is None:
        values["credited_at"] = func.now()
    if order.status != row.status:
        moves = order.status in (*REVERSED, "withdrawing", "restoring")
        values["reversed_at"] = func.now() if moves else None
    await connection.execute(update(table).where(table.c.id == row.id).values(values))


async def mark_booked(connection: AsyncConnection, batch: Batch) -> None:
    """Record the coins of orders that wallets got and gave, in the transaction that books them.

    So 'credited' means booked.
    """
    by_order: dict[str, list[WalletChanged]] = {}
    for _, _, entry in batch.changes_for(REASONS):
        by_order.setdefault(order_id_of(entry.ref), []).append(entry)
    if not by_order:
        return
    query = select(table).where(table.c.id.in_(by_order)).order_by(table.c.id).with_for_update()
    for row in (await connection.execute(query)).all():
        order = order_of(row)
        for entry in by_order[row.id]:
            order = entry_booked(order, entry.delta, entry.reason)
        await write_order(connection, row, order)


async def unfinished_orders(
    database: Database, older_than_s: float, younger_than_s: float, limit: int
) -> list[StoredOrder]:
    """Return orders whose wallet's changes are not booked although some time has passed, oldest first.

    Orders whose last change is older than refs are remembered are left out (see `pending_grants`), and so are
    withdrawals (see `withdrawals`).
    """
    last = func.coalesce(table.c.reversed_at, table.c.paid_at)
    query = (
        select(*COLUMNS)
        .where(
            text(f"({UNFINISHED})"),
            table.c.status != "withdrawing",
            last < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s),
            last > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, younger_than_s),
        )
        .order_by(table.c.paid_at)
        .limit(limit)
    )
    async with database.begin() as connection:
        return [stored_order(row) for row in (await connection.execute(query)).all()]


async def open_withdrawals(database: Database, older_than_s: float, limit: int) -> list[StoredOrder]:
    """Return withdrawals that are not finished some time after they were requested, the longest waiting first."""
    query = (
        select(*COLUMNS)
        .where(
            text(f"({UNFINISHED})"),
            table.c.status == "withdrawing",
            table.c.reversed_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s),
        )
        .order_by(table.c.reversed_at)
        .limit(limit)
    )
    async with database.begin() as connection:
        return [stored_order(row) for row in (await connection.execute(query)).all()]


async def move_order(database: Database, order_id: str, step: Callable[[Order], Order]) -> StoredOrder | None:
    """Lock an order and move it by a pure function, which may raise. Returns None when there is no such order."""
    query = select(*COLUMNS).where(table.c.id == order_id)
    async with database.begin() as connection:
        row = (await connection.execute(query.with_for_update(of=table))).one_or_none()
        if row is None:
            return None
        before = order_of(row)
        after = step(before)
        if after == before:
            return stored_order(row)
        await write_order(connection, row, after)
        return stored_order((await connection.execute(query)).one())


async def expire_orders(database: Database, older_than_s: float) -> int:
    """Close orders that nobody has paid; returns how many. Money that comes later is honoured all the same."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    change = update(table).where(table.c.status == "created", table.c.created_at < func.now() - age)
    async with database.begin() as connection:
        return (await connection.execute(change.values(status="expired"))).rowcount


async def orders_to_reconcile(
    database: Database, provider: str, since_s: float, ids: Sequence[str]
) -> dict[str, Order]:
    """Return the provider's orders made since `since_s`, and those with these ids."""
    recent = table.c.created_at >= func.to_timestamp(since_s)
    query = select(table).where(table.c.provider == provider, or_(recent, table.c.id.in_(ids)))
    async with database.begin() as connection:
        return {row.id: order_of(row) for row in (await connection.execute(query)).all()}
