"""Invariant 8: payouts have the transfers that their status says."""

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.earnings.public import TAKEN_BACK
from livegift.features.payouts.tables import payouts
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.operations.audit import Seen

_POSTED = text(
    "WITH expected AS (SELECT id, 'payout.hold' AS reason, 'DIAMOND' AS asset, diamonds AS amount FROM payouts "
    "UNION ALL SELECT id, 'payout.return', 'DIAMOND', diamonds FROM payouts "
    "WHERE status IN ('rejected', 'cancelled', 'failed') "
    "UNION ALL SELECT id, 'payout.paid', 'DIAMOND', diamonds FROM payouts WHERE status = 'paid' "
    "UNION ALL SELECT id, 'payout.paid', currency, amount FROM payouts WHERE status = 'paid'), "
    "posted AS (SELECT ref AS id, reason, asset, sum(amount) AS amount FROM postings "
    "WHERE reason LIKE 'payout.%' GROUP BY 1, 2, 3) "
    "SELECT coalesce(e.id, p.id) AS id, coalesce(e.reason, p.reason) AS reason, e.amount AS expected, p.amount "
    "FROM expected e FULL JOIN posted p USING (id, reason, asset) "
    "WHERE e.amount IS DISTINCT FROM p.amount ORDER BY 1, 2 LIMIT :examples"
)
# Only creators who were paid for gifts that were revoked afterwards may be below zero, by no more than those: what was
# about to be revoked when the last payout was asked for was not available then.
_SIGNS = text(
    "SELECT a.name, a.balance FROM accounts a WHERE a.balance < 0 AND (a.name LIKE 'diamonds:held:%' "  # noqa: S608 - our own text
    f"OR a.name LIKE 'diamonds:user:%' AND -a.balance > (SELECT coalesce(sum({TAKEN_BACK}), 0) FROM corrections c "
    "JOIN gifts g ON c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n "
    "WHERE 'diamonds:user:' || c.receiver = a.name AND c.status = 'applied' AND c.decided_at > coalesce((SELECT "
    "max(p.requested_at) FROM payouts p WHERE p.creator = c.receiver), '-infinity'))) ORDER BY 1 LIMIT :examples"
)


async def wrong_payouts(connection: AsyncConnection, _: Seen) -> tuple[int, list[str]]:
    """Return the number of payouts, and what in them does not add up."""
    limit = {"examples": EXAMPLES_MAX}
    wrong = [
        f"payout {row.id}: {row.amount or 0} posted as '{row.reason}', expected {row.expected or 0}"
        for row in await connection.execute(_POSTED, limit)
    ]
    wrong += [f"account {row.name}: {row.balance} diamonds" for row in await connection.execute(_SIGNS, limit)]
    return await connection.scalar(select(func.count()).select_from(payouts)) or 0, wrong
