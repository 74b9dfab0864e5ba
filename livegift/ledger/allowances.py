"""Limits as booked: every version of them, and the limits and usage that a repaired wallet should have."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.journal import LimitsChanged
from livegift.domain.allowances import Caps, SpendingLimits, Usage
from livegift.domain.partitions import Position
from livegift.ledger.engine import Database
from livegift.ledger.statements import Statements


class _Sql(Statements, file="allowances.sql"):
    """The statements of this module."""

    latest: TextClause
    usage: TextClause
    frozen: TextClause


def row_of(partition: int, position: Position, entry: LimitsChanged) -> tuple[object, ...]:
    """Return the row of an entry, in the order of the columns."""
    return (
        partition, position.epoch, position.n, entry.user, entry.version, entry.per_gift, entry.day, entry.month,
        entry.pending_ms, entry.pending_per_gift, entry.pending_day, entry.pending_month, entry.frozen, entry.why,
        entry.by, entry.ts_ms,
    )  # fmt: skip


def limits_of(row: Row[Any]) -> SpendingLimits:
    """Return the limits of a row of `wallet_limits`."""
    own = Caps(row.per_gift, row.day, row.month)
    return SpendingLimits(
        row.version, own, row.pending_ms, Caps(row.pending_per_gift, row.pending_day, row.pending_month)
    )


async def allowances_of(connection: AsyncConnection, users: Sequence[str]) -> dict[str, tuple[SpendingLimits, Usage]]:
    """Return limits and usage of those of `users` who have any."""
    limits = {row.user_id: limits_of(row) for row in await connection.execute(_Sql.latest, {"users": list(users)})}
    usage = {
        row.sender: Usage(row.day, int(row.day_coins), int(row.month_coins))
        for row in await connection.execute(_Sql.usage, {"users": list(users)})
    }
    return {
        user: (limits.get(user, SpendingLimits()), usage.get(user, Usage())) for user in limits.keys() | usage.keys()
    }


async def frozen_why(database: Database, user: str) -> str | None:
    """Return why a wallet is frozen, as far as it is booked: an operator's words, or a reason such as 'chargeback'."""
    async with database.begin() as connection:
        why = await connection.scalar(_Sql.frozen, {"user": user})
    return None if why is None else str(why)
