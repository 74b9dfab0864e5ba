"""Invariant 8: payouts have the transfers that their status says."""

from sqlalchemy import TextClause, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.earnings.public import TAKEN_BACK
from livegift.features.payouts.tables import payouts
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.statements import Statements
from livegift.operations.audit import Seen


class _Sql(Statements, file="checks.sql", parts={"taken_back": TAKEN_BACK}):
    """The statements of this module."""

    posted: TextClause
    signs: TextClause


async def wrong_payouts(connection: AsyncConnection, _: Seen) -> tuple[int, list[str]]:
    """Return the number of payouts, and what in them does not add up."""
    limit = {"examples": EXAMPLES_MAX}
    wrong = [
        f"payout {row.id}: {row.amount or 0} posted as '{row.reason}', expected {row.expected or 0}"
        for row in await connection.execute(_Sql.posted, limit)
    ]
    wrong += [f"account {row.name}: {row.balance} diamonds" for row in await connection.execute(_Sql.signs, limit)]
    return await connection.scalar(select(func.count()).select_from(payouts)) or 0, wrong
