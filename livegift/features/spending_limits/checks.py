"""Invariant 9: the limits in Redis equal the ledger's, and no gift was above them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.allowances import limits_of
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.operations.audit import Seen

_AT_VERSION = text(
    "SELECT l.* FROM unnest(CAST(:users AS text[]), CAST(:versions AS bigint[])) AS v(user_id, version) "
    "JOIN wallet_limits l ON l.user_id = v.user_id AND l.version = v.version"
)
_HOLES = text(
    "SELECT user_id, count(*) AS rows, max(version) AS newest FROM wallet_limits GROUP BY user_id "
    "HAVING count(*) <> max(version) OR min(version) <> 1 ORDER BY 1 LIMIT :examples"
)
# Gifts above the viewer's own limit for one gift, while it was in force.
_ABOVE = text(
    "SELECT g.sender, g.coins, l.per_gift, g.partition || '-' || g.epoch || '-' || g.n AS event_id FROM gifts g "
    "JOIN LATERAL (SELECT * FROM wallet_limits w WHERE w.user_id = g.sender AND w.n < g.n ORDER BY w.n DESC LIMIT 1) l "
    "ON true WHERE g.day > 0 AND (l.pending_ms = 0 OR g.ts_ms < l.pending_ms) AND g.coins > l.per_gift "
    "AND EXISTS (SELECT 1 FROM wallet_limits x WHERE x.user_id = g.sender) ORDER BY 1, 4 LIMIT :examples"
)


async def wrong_limits(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    """Return how many wallets have limits, and where they differ from the ledger."""
    limited = {wallet.user: wallet.limits for wallet in seen.wallets if wallet.limits.version}
    where = {"users": list(limited), "versions": [limits.version for limits in limited.values()]}
    known = {row.user_id: limits_of(row) for row in await connection.execute(_AT_VERSION, where)}
    wrong = [
        f"wallet {user}: limits {limits} in Redis, the ledger has {known.get(user, 'no such version')}"
        for user, limits in limited.items()
        if known.get(user) != limits
    ]
    wrong += [
        f"wallet {row.user_id}: {row.rows} versions of its limits, the newest is {row.newest}"
        for row in await connection.execute(_HOLES, {"examples": EXAMPLES_MAX})
    ]
    wrong += [
        f"gift {row.event_id} of {row.sender}: {row.coins} coins, the limit was {row.per_gift}"
        for row in await connection.execute(_ABOVE, {"examples": EXAMPLES_MAX})
    ]
    return len(limited), wrong
