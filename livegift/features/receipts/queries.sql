-- Read by queries.py; see livegift/ledger/statements.py for the form.

-- name: gift
SELECT g.*, g.count AS pieces, b.booked_at, (
    SELECT c.status
    FROM corrections c
    WHERE c.gift_event_id = :event_id AND c.status IN ('approved', 'applied')
) AS revoked
FROM gifts g
JOIN batches b ON b.id = g.batch_id
WHERE g.partition = :partition AND g.epoch = :epoch AND g.n = :n

-- name: lots
-- What came into the wallet before the gift, oldest first. An order's bonus is a lot of its own, for nothing.
SELECT t.amount AS coins, t.reason, t.ref, o.amount, o.currency
FROM transfers t
LEFT JOIN orders o ON t.reason IN ('order', 'restored') AND o.id = split_part(t.ref, ':', 2)
WHERE t.user_id = :user AND t.wallet_seq < :seq AND t.credit = 'coins:user:' || :user
ORDER BY t.wallet_seq

-- name: spent
SELECT (
    SELECT coalesce(sum(coins), 0)
    FROM gifts
    WHERE sender = :user AND wallet_seq < :seq
) + (
    SELECT coalesce(sum(amount), 0)
    FROM transfers
    WHERE user_id = :user AND wallet_seq < :seq AND debit = 'coins:user:' || :user
)

-- name: earned
-- What the creator had earned before this gift, in the order of bookings.
SELECT (
    SELECT coalesce(sum(diamonds), 0)
    FROM earned_hours
    WHERE creator = :creator AND hour < date_trunc('hour', CAST(:booked_at AS timestamptz))
) + (
    SELECT coalesce(sum(g.diamonds + coalesce((
        SELECT sum(m.diamonds)
        FROM gift_matches m
        WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)
    ), 0)), 0)
    FROM batches b
    JOIN gifts g ON g.batch_id = b.id
    WHERE g.receiver = :creator AND b.booked_at >= date_trunc('hour', CAST(:booked_at AS timestamptz))
        AND (b.booked_at, b.id, g.partition, g.epoch, g.n) < (:booked_at, :batch_id, :partition, :epoch, :n)
)

-- name: payouts
SELECT id, diamonds, status, ended_at
FROM payouts
WHERE creator = :creator AND status NOT IN ('rejected', 'cancelled', 'failed')
ORDER BY requested_at, id

-- name: history
SELECT wallet_seq, ts_ms, 'gift' AS what, ref, -coins AS coins, balance,
    partition || '-' || epoch || '-' || n AS gift_event_id, room, receiver, gift_id, count AS pieces,
    NULL::bigint AS amount, NULL AS currency
FROM gifts
WHERE sender = :user AND wallet_seq < :before
UNION ALL
SELECT t.wallet_seq, t.ts_ms, t.reason, t.ref,
    CASE WHEN t.credit = 'coins:user:' || :user THEN t.amount ELSE -t.amount END, t.balance, NULL, NULL, NULL, NULL,
    NULL, o.amount, o.currency
FROM transfers t
LEFT JOIN orders o ON t.reason IN ('order', 'refund', 'chargeback') AND o.id = split_part(t.ref, ':', 2)
WHERE t.user_id = :user AND t.wallet_seq < :before
ORDER BY wallet_seq DESC
LIMIT :limit

-- name: spend
SELECT coalesce(sum(coins) FILTER (WHERE ts_ms >= :day_ms), 0) AS day,
    coalesce(sum(coins) FILTER (WHERE ts_ms >= :month_ms), 0) AS month,
    coalesce(sum(coins) FILTER (WHERE ts_ms >= :year_ms), 0) AS year, coalesce(sum(coins), 0) AS total
FROM gifts
WHERE sender = :user

-- name: money
SELECT currency, coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('day', now())), 0) AS day,
    coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('month', now())), 0) AS month,
    coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('year', now())), 0) AS year, sum(amount) AS total
FROM orders
WHERE user_id = :user AND status IN ('paid', 'credited')
GROUP BY currency
ORDER BY currency
