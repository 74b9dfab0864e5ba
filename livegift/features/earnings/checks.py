"""Invariant 8: earnings by the hour equal those of the gifts, and recorded clawbacks equal the posted ones."""

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.earnings.clawbacks import wrong_clawbacks
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.statements import Statements
from livegift.operations.audit import Seen


class _Sql(Statements, file="checks.sql"):
    """The statements of this module."""

    hours: TextClause


async def wrong_earnings(connection: AsyncConnection, _: Seen) -> tuple[int, list[str]]:
    """Return what in creators' earnings does not add up. The audit counts only payouts here."""
    wrong = [
        f"creator {row.creator}: {row.gifts or 0} gifts of {row.diamonds or 0} diamonds by the hour, "
        f"{row.booked or 0} of {row.booked_diamonds or 0} booked"
        for row in await connection.execute(_Sql.hours, {"examples": EXAMPLES_MAX})
    ]
    return 0, wrong + await wrong_clawbacks(connection, EXAMPLES_MAX)
