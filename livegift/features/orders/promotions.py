"""Promotions of orders, decided under the promotion's lock when the money comes."""

from typing import Any

import structlog
from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.orders.offers import decided, granted
from livegift.features.orders.queries import offered_of, order_of, write_order
from livegift.features.orders.rules import UNPAID, Order
from livegift.features.orders.tables import orders, promotions

log = structlog.get_logger()


async def lock_promotions(connection: AsyncConnection, of_orders: ColumnElement[bool]) -> None:
    """Serialize payments under the same promotions. Call it before the orders' own rows are locked."""
    used = select(orders.c.promotion_id).where(of_orders, orders.c.promotion_id.is_not(None))
    query = select(promotions.c.id).where(promotions.c.id.in_(used)).order_by(promotions.c.id)
    await connection.execute(query.with_for_update(key_share=True))


async def decide(connection: AsyncConnection, row: Row[Any]) -> tuple[Order, dict[str, Any]]:
    """Decide the promotion of a locked order that is being paid. Returns the order and the columns to write.

    The promotion is locked. Other open orders of the same user that can no longer get it lose their offer.
    """
    order = order_of(row)
    if row.promotion_id is None or row.promotion_granted is not None:
        return order, {}
    now = func.now()
    terms = (
        await connection.execute(
            select(
                promotions.c.per_user_max,
                ((promotions.c.starts_at <= now) & (now < promotions.c.ends_at)).label("runs_now"),
                ((promotions.c.starts_at <= row.created_at) & (row.created_at < promotions.c.ends_at)).label(
                    "ran_then"
                ),
            ).where(promotions.c.id == row.promotion_id)
        )
    ).one()
    used = await uses(connection, row.promotion_id, row.user_id)
    has_it = granted(
        row.status, used=used, per_user_max=terms.per_user_max, runs_now=terms.runs_now, ran_then=terms.ran_then
    )
    if not has_it:
        log.warning("orders.promotion_not_granted", order=row.id, promotion=row.promotion_id, used=used)
    elif terms.per_user_max and used + 1 >= terms.per_user_max:
        await _take_back_offers(connection, row)
    after = decided(order, offered_of(row), has_it=has_it)
    return after, {"promotion_granted": has_it, "promotion_max": terms.per_user_max}


async def uses(connection: AsyncConnection, promotion_id: str, user: str) -> int:
    """Return how many paid orders of `user` have the promotion."""
    query = select(func.count()).where(
        orders.c.promotion_id == promotion_id, orders.c.user_id == user, orders.c.promotion_granted
    )
    return await connection.scalar(query) or 0


async def _take_back_offers(connection: AsyncConnection, used_by: Row[Any]) -> None:
    others = (
        select(orders)
        .where(
            orders.c.promotion_id == used_by.promotion_id,
            orders.c.user_id == used_by.user_id,
            orders.c.id != used_by.id,
            orders.c.status.in_(UNPAID),
        )
        .order_by(orders.c.id)
        .with_for_update()
    )
    for row in (await connection.execute(others)).all():
        await write_order(connection, row, decided(order_of(row), offered_of(row), has_it=False))
