"""Invariant 8: earnings by the hour equal those of the gifts, and recorded clawbacks equal the posted ones."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.earnings.clawbacks import wrong_clawbacks
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.operations.audit import Seen

_HOURS = text(
    "WITH legs AS (SELECT receiver, 1 AS gift, diamonds FROM gifts UNION ALL "
    "SELECT g.receiver, 0, m.diamonds FROM gift_matches m "
    "JOIN gifts g ON (g.partition, g.epoch, g.n) = (m.partition, m.epoch, m.n)) "
    "SELECT coalesce(e.creator, g.receiver) AS creator, e.gifts, e.diamonds, g.gifts AS booked, "
    "g.diamonds AS booked_diamonds FROM (SELECT creator, sum(gifts) AS gifts, sum(diamonds) AS diamonds "
    "FROM earned_hours GROUP BY 1) e FULL JOIN (SELECT receiver, sum(gift) AS gifts, sum(diamonds) AS diamonds "
    "FROM legs GROUP BY 1) g ON g.receiver = e.creator "
    "WHERE e.gifts IS DISTINCT FROM g.gifts OR e.diamonds IS DISTINCT FROM g.diamonds ORDER BY 1 LIMIT :examples"
)


async def wrong_earnings(connection: AsyncConnection, _: Seen) -> tuple[int, list[str]]:
    """Return what in creators' earnings does not add up. The audit counts only payouts here."""
    wrong = [
        f"creator {row.creator}: {row.gifts or 0} gifts of {row.diamonds or 0} diamonds by the hour, "
        f"{row.booked or 0} of {row.booked_diamonds or 0} booked"
        for row in await connection.execute(_HOURS, {"examples": EXAMPLES_MAX})
    ]
    return 0, wrong + await wrong_clawbacks(connection, EXAMPLES_MAX)
