-- Read by payment_checks.py; see livegift/ledger/statements.py for the form.

-- part: own
-- The order's own payment: of its provider, its amount and currency, and named by what we wrote there.
e.provider = o.provider AND e.amount = o.amount AND e.currency = o.currency
        AND (e.named_order = o.id OR e.session_ref = o.provider_ref)

-- name: unpaid
SELECT o.*, e.event_id, e.provider AS from_provider, e.named_order, e.session_ref, e.amount AS said_amount,
    e.currency AS said_currency
FROM orders o
LEFT JOIN LATERAL (
    SELECT *
    FROM order_events e
    WHERE e.order_id = o.id AND e.kind NOT IN ('declined', 'expired') AND e.outcome = 'applied'
    ORDER BY e.at
    LIMIT 1
) e ON true
WHERE o.status NOT IN ('created', 'declined', 'expired') AND NOT EXISTS (
    SELECT 1
    FROM order_events e
    WHERE e.order_id = o.id AND e.outcome = 'applied' AND (e.kind = 'paid' OR o.paid_at IS NULL OR EXISTS (
        SELECT 1
        FROM order_events r
        WHERE r.order_id = o.id AND r.outcome = 'applied' AND r.kind IN ('dispute_won', 'refund_failed')
            AND r.at >= e.at
    )) AND e.kind NOT IN ('declined', 'expired') AND {own}
)
ORDER BY o.id
LIMIT :examples

-- name: others
SELECT o.id, o.payment_ref, e.event_id, e.kind, e.provider, e.payment_ref AS said
FROM orders o
JOIN order_events e ON e.order_id = o.id
WHERE e.outcome = 'applied' AND e.kind NOT IN ('declined', 'expired')
    AND (e.provider <> o.provider OR e.payment_ref <> o.payment_ref)
ORDER BY 1, 3
LIMIT :examples

-- name: twice
SELECT provider, payment_ref, array_agg(DISTINCT order_id ORDER BY order_id) AS orders
FROM order_events
WHERE outcome = 'applied' AND payment_ref IS NOT NULL
GROUP BY 1, 2
HAVING count(DISTINCT order_id) > 1
ORDER BY 1, 2
LIMIT :examples

-- name: sessions_twice
SELECT provider, session_ref, array_agg(DISTINCT order_id ORDER BY order_id) AS orders
FROM order_events
WHERE outcome = 'applied' AND session_ref IS NOT NULL
GROUP BY 1, 2
HAVING count(DISTINCT order_id) > 1
ORDER BY 1, 2
LIMIT :examples
