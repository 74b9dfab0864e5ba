"""Grants as stored: coins that an operator gives away, each once."""

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.grants.tables import grants
from livegift.ledger.engine import Database
from livegift.ledger.participants import Batch

REASONS = {"grant": "coins:granted"}


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant and its status: 'pending' until its credit is booked, then 'credited'."""

    ref: str
    user: str
    coins: int
    status: str


async def begin_grant(database: Database, ref: str, user: str, coins: int) -> Grant:
    """Record a grant before any coin moves. The same ref again returns what was recorded first."""
    async with database.begin() as connection:
        await connection.execute(
            insert(grants).values(ref=ref, user_id=user, coins=coins, status="pending").on_conflict_do_nothing()
        )
        row = (await connection.execute(select(grants).where(grants.c.ref == ref))).one()
    return Grant(row.ref, row.user_id, row.coins, row.status)


async def pending_grants(database: Database, older_than_s: float, younger_than_s: float, limit: int) -> list[Grant]:
    """Return grants whose credit is not booked although some time has passed.

    Grants older than refs are remembered are left out: repeating them might credit twice, so a person has to look.
    """
    table = grants
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


async def mark_booked(connection: AsyncConnection, batch: Batch) -> None:
    """Mark grants as credited, in the transaction that books their coins.

    A grant's row exists before its coins move, unless the ledger was set back: then it is written again.
    """
    by_ref = {entry.ref.removeprefix("grant:"): entry for _, _, entry in batch.changes_for(REASONS)}
    if by_ref:
        credited = {"status": "credited", "credited_at": func.now()}
        rows = [{"ref": ref, "user_id": e.user, "coins": e.delta, **credited} for ref, e in by_ref.items()]
        statement = insert(grants).values(rows)
        await connection.execute(statement.on_conflict_do_update(index_elements=["ref"], set_=credited))
