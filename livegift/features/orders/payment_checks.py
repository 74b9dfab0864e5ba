"""The audit's checks of payments: each order was paid by a payment of its own."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The order's own payment: of its provider, its amount and currency, and named by what we wrote there.
_OWN = (
    "e.provider = o.provider AND e.amount = o.amount AND e.currency = o.currency "
    "AND (e.named_order = o.id OR e.session_ref = o.provider_ref)"
)
_UNPAID = text(
    "SELECT o.*, e.event_id, e.provider AS from_provider, e.named_order, e.session_ref, e.amount AS said_amount, "  # noqa: S608 - our own text
    "e.currency AS said_currency FROM orders o LEFT JOIN LATERAL (SELECT * FROM order_events e WHERE e.order_id = o.id "
    "AND e.kind NOT IN ('declined', 'expired') AND e.outcome = 'applied' ORDER BY e.at LIMIT 1) e ON true "
    "WHERE o.status NOT IN ('created', 'declined', 'expired') AND NOT EXISTS (SELECT 1 FROM order_events e "
    "WHERE e.order_id = o.id AND e.outcome = 'applied' AND (e.kind = 'paid' OR o.paid_at IS NULL "
    "OR EXISTS (SELECT 1 FROM order_events r WHERE r.order_id = o.id AND r.outcome = 'applied' "
    "AND r.kind IN ('dispute_won', 'refund_failed') AND r.at >= e.at)) "
    f"AND e.kind NOT IN ('declined', 'expired') AND {_OWN}) ORDER BY o.id LIMIT :examples"
)
_OTHERS = text(
    "SELECT o.id, o.payment_ref, e.event_id, e.kind, e.provider, e.payment_ref AS said FROM orders o "
    "JOIN order_events e ON e.order_id = o.id WHERE e.outcome = 'applied' AND e.kind NOT IN ('declined', 'expired') "
    "AND (e.provider <> o.provider OR e.payment_ref <> o.payment_ref) ORDER BY 1, 3 LIMIT :examples"
)
_TWICE = text(
    "SELECT provider, payment_ref, array_agg(DISTINCT order_id ORDER BY order_id) AS orders FROM order_events "
    "WHERE outcome = 'applied' AND payment_ref IS NOT NULL GROUP BY 1, 2 "
    "HAVING count(DISTINCT order_id) > 1 ORDER BY 1, 2 LIMIT :examples"
)
_SESSIONS_TWICE = text(
    "SELECT provider, session_ref, array_agg(DISTINCT order_id ORDER BY order_id) AS orders FROM order_events "
    "WHERE outcome = 'applied' AND session_ref IS NOT NULL GROUP BY 1, 2 "
    "HAVING count(DISTINCT order_id) > 1 ORDER BY 1, 2 LIMIT :examples"
)


async def wrong_payments(connection: AsyncConnection, examples: int) -> list[str]:
    """Return orders that count as paid without a payment of their own, and payments used for two orders."""
    limit = {"examples": examples}
    wrong = []
    for row in await connection.execute(_UNPAID, limit):
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
        for row in await connection.execute(_OTHERS, limit)
    ]
    wrong += [
        f"payment {row.payment_ref} of {row.provider} was taken for orders {', '.join(row.orders)}"
        for row in await connection.execute(_TWICE, limit)
    ]
    wrong += [
        f"checkout {row.session_ref} of {row.provider} was taken for orders {', '.join(row.orders)}"
        for row in await connection.execute(_SESSIONS_TWICE, limit)
    ]
    return wrong
