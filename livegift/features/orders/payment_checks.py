"""The audit's checks of payments: each order was paid by a payment of its own."""

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.statements import Statements


class _Sql(Statements, file="payment_checks.sql"):
    """The statements of this module."""

    unpaid: TextClause
    others: TextClause
    twice: TextClause
    sessions_twice: TextClause


async def wrong_payments(connection: AsyncConnection, examples: int) -> list[str]:
    """Return orders that count as paid without a payment of their own, and payments used for two orders."""
    limit = {"examples": examples}
    wrong = []
    for row in await connection.execute(_Sql.unpaid, limit):
        said = "no event at all"
        if row.event_id is not None:
            said = (
                f"event {row.event_id} of {row.from_provider}, which names order {row.named_order or '(none)'} and "
                f"checkout {row.session_ref or '(none)'}, {row.said_amount} {row.said_currency}"
            )
        wrong.append(
            f"order {row.id}: {row.status} by {said}; expected {row.provider}, order {row.id} or checkout "
            f"{row.provider_ref or '(none)'}, {row.amount} {row.currency}"
        )
    wrong += [
        f"order {row.id}: event {row.event_id} ({row.kind}) of {row.provider} is about payment {row.said}, "
        f"the order's is {row.payment_ref}"
        for row in await connection.execute(_Sql.others, limit)
    ]
    wrong += [
        f"payment {row.payment_ref} of {row.provider} was taken for orders {', '.join(row.orders)}"
        for row in await connection.execute(_Sql.twice, limit)
    ]
    wrong += [
        f"checkout {row.session_ref} of {row.provider} was taken for orders {', '.join(row.orders)}"
        for row in await connection.execute(_Sql.sessions_twice, limit)
    ]
    return wrong
