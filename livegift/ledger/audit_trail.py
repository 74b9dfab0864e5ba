"""The audit trail: every act of an operator is recorded before or together with its effect, and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.engine import Database
from livegift.ledger.tables import operator_acts as table


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """An entry: `actor` did `act` ('order.refund', 'payout.approve', …) to `subject` ('order:ord-1')."""

    id: int
    actor: str
    act: str
    subject: str
    details: Mapping[str, object]
    at: datetime


async def note(
    connection: AsyncConnection, actor: str, act: str, subject: str, details: Mapping[str, object] | None = None
) -> None:
    """Record an act in the transaction that has its effect."""
    await connection.execute(insert(table).values(actor=actor, act=act, subject=subject, details=dict(details or {})))


async def note_before(
    database: Database, actor: str, act: str, subject: str, details: Mapping[str, object] | None = None
) -> None:
    """Record an act that is about to be tried in another system, so that nothing happens unrecorded."""
    async with database.begin() as connection:
        await note(connection, actor, act, subject, details)


async def read_acts(database: Database, subject: str | None, before: int | None, limit: int) -> list[OperatorAct]:
    """Return acts, newest first, older than the act `before`; of one subject or of all."""
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if before is not None:
        query = query.where(table.c.id < before)
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [OperatorAct(row.id, row.actor, row.act, row.subject, row.details, row.at) for row in rows]
