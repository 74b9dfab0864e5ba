"""Invariant 7: corrections, the entries that move their coins, and everything that a revoked gift takes back."""

from sqlalchemy import TextClause, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.corrections.tables import corrections as table
from livegift.features.earnings.public import TAKEN_BACK
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.statements import Statements
from livegift.operations.audit import Seen


class _Sql(Statements, file="checks.sql", parts={"taken_back": TAKEN_BACK}):
    """The statements of this module."""

    entries: TextClause
    posted: TextClause
    rows: TextClause
    late: TextClause


async def wrong_corrections(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    """Return the number of corrections, and those that differ from what their status says."""
    examples = {"examples": EXAMPLES_MAX}
    wrong = [
        f"correction {row.id}: {row.entries or 0} entries of {row.coins or 0} coins in all, "
        f"expected {'none' if row.expected is None else f'one of {row.expected}'}"
        for row in await connection.execute(_Sql.entries, examples)
    ]
    wrong += [
        f"correction {row.id}: {row.diamonds} diamonds taken back and {row.coins} coins given back to sponsors, "
        f"expected {row.due_diamonds} and {row.due_coins}"
        for row in await connection.execute(_Sql.posted, examples)
    ]
    wrong += [
        f"correction {row.id}: gift {row.gift} was taken out of its room {row.entries} times, "
        "expected once, as it was sent, by one that is applied"
        for row in await connection.execute(_Sql.rows, examples)
    ]
    wrong += [
        f"correction {row.id}: approved, but its {row.coins} coins for {row.user_id} never came"
        for row in await connection.execute(_Sql.late, {**examples, "ttl_s": seen.ref_ttl_s})
    ]
    return await connection.scalar(select(func.count()).select_from(table)) or 0, wrong
