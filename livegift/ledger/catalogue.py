"""The catalogue of gifts, as stored. Operators' changes go to the audit trail."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.values import GiftKind
from livegift.ledger import audit_trail, tables
from livegift.ledger.engine import Database


async def read_gifts(database: Database, *, with_inactive: bool = False) -> list[GiftKind]:
    """Return the gifts that can be sent, cheapest first; or also those that can't be sent any more."""
    kinds = tables.gift_kinds
    query = select(kinds).order_by(kinds.c.coins, kinds.c.id)
    if not with_inactive:
        query = query.where(kinds.c.active)
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [
        GiftKind(
            row.id, row.name, row.coins, row.diamond_count, streakable=row.streakable, tier=row.tier, icon=row.icon
        )
        for row in rows
    ]


async def put_gifts(database: Database, kinds: Iterable[GiftKind], *, active: bool, actor: str) -> None:
    """Add or change gifts, all or none. Web processes see the change within CATALOGUE_REFRESH_S."""
    async with database.begin() as connection:
        for kind in kinds:
            await _put_gift(connection, kind, active=active, actor=actor)


async def _put_gift(connection: AsyncConnection, kind: GiftKind, *, active: bool, actor: str) -> None:
    values = {
        "name": kind.name,
        "coins": kind.coins,
        "diamond_count": kind.diamond_count,
        "streakable": kind.streakable,
        "tier": kind.tier,
        "icon": kind.icon,
        "active": active,
    }
    upsert = insert(tables.gift_kinds).values(id=kind.id, **values)
    await connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))
    await audit_trail.note(connection, actor, "gift.put", f"gift:{kind.id}", values)
