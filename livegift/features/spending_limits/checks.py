"""Invariant 9: the limits in Redis equal the ledger's, and no gift was above them."""

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.allowances import limits_of
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.statements import Statements
from livegift.operations.audit import Seen


class _Sql(Statements, file="checks.sql"):
    """The statements of this module."""

    at_version: TextClause
    holes: TextClause
    above: TextClause


async def wrong_limits(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    """Return how many wallets have limits, and where they differ from the ledger."""
    limited = {wallet.user: wallet.limits for wallet in seen.wallets if wallet.limits.version}
    where = {"users": list(limited), "versions": [limits.version for limits in limited.values()]}
    known = {row.user_id: limits_of(row) for row in await connection.execute(_Sql.at_version, where)}
    wrong = [
        f"wallet {user}: limits {limits} in Redis, the ledger has {known.get(user, 'no such version')}"
        for user, limits in limited.items()
        if known.get(user) != limits
    ]
    wrong += [
        f"wallet {row.user_id}: {row.rows} versions of its limits, the newest is {row.newest}"
        for row in await connection.execute(_Sql.holes, {"examples": EXAMPLES_MAX})
    ]
    wrong += [
        f"gift {row.event_id} of {row.sender}: {row.coins} coins, the limit was {row.per_gift}"
        for row in await connection.execute(_Sql.above, {"examples": EXAMPLES_MAX})
    ]
    return len(limited), wrong
