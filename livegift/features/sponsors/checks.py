"""Invariant 10: sponsor matches agree with their rows, their accounts and their sponsors' wallets."""

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.statements import Statements
from livegift.operations.audit import Seen


class _Sql(Statements, file="checks.sql"):
    """The statements of this module."""

    wrong: TextClause
    rows: TextClause
    between: TextClause
    legs: str
    checked: TextClause


LEGS = _Sql.legs


async def wrong_matches(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    """Return the number of matches and of their rows, and the violations."""
    examples = {"examples": EXAMPLES_MAX}
    wrong = [
        f"match {row.id}: {row.status}, budget {row.budget} (paid {row.paid}, funded {row.funded} of {row.due_paid}), "
        f"used {row.used} ({row.used_diamonds} diamonds), its rows {row.added} ({row.added_diamonds}), released "
        f"{row.released} of {row.due_released}, returned {row.returned} (booked {row.got_back}, lost {row.lost}), "
        f"its account {row.held}"
        for row in await connection.execute(_Sql.wrong, {**examples, "ttl_s": seen.ref_ttl_s})
    ]
    wrong += [
        f"match {row.match_id}: {row.units} units of {row.coins} coins and {row.diamonds} diamonds do not fit gift "
        f"{row.partition}-{row.epoch}-{row.n}{'' if row.is_booked else ', which is not booked'}"
        for row in await connection.execute(_Sql.rows, examples)
    ]
    between = (await connection.execute(_Sql.between)).one()
    if between.held != between.due:
        wrong.append(f"sponsors' accounts: {between.held} coins between wallets and matches, expected {between.due}")
    return await connection.scalar(_Sql.checked) or 0, wrong
