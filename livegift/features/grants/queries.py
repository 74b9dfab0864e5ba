"""Grants: coins that an operator gives away, each once."""

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from livegift.ledger import tables
from livegift.ledger.engine import Database


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant and how far it is: 'pending' until its credit is booked, then 'credited'."""

    ref: str
    user: str
    coins: int
    status: str


async def begin_grant(database: Database, ref: str, user: str, coins: int) -> Grant:
    """Note the grant before any coin moves; the same ref again returns what was noted first."""
    async with database.begin() as connection:
        await connection.execute(
            insert(tables.grants).values(ref=ref, user_id=user, coins=coins, status="pending").on_conflict_do_nothing()
        )
        row = (await connection.execute(select(tables.grants).where(tables.grants.c.ref == ref))).one()
    return Grant(row.ref, row.user_id, row.coins, row.status)


async def pending_grants(database: Database, older_than_s: float, younger_than_s: float, limit: int) -> list[Grant]:
    """Grants whose credit was not booked although some time has passed.

    Those older than refs are remembered are left out: repeating them might credit twice, so somebody has to look.
    """
    table = tables.grants
    age = text("make_interval(secs => :older)"), text("make_interval(secs => :younger)")
    query = (
        select(table)
        .where(
            table.c.status == "pending",
            table.c.created_at < func.now() - age[0],
            table.c.created_at > func.now() - age[1],
        )
        .order_by(table.c.created_at)
        .limit(limit)
    )
    async with database.begin() as connection:
        rows = (await connection.execute(query, {"older": older_than_s, "younger": younger_than_s})).all()
    return [Grant(row.ref, row.user_id, row.coins, row.status) for row in rows]
