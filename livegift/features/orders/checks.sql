-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- part: id_in_ref
-- The order that an entry belongs to: refs are '<reason>:<order>', from the second round on with ':<n>', and ids of
-- orders have no colons. Another form belongs to none.
CASE split_part(ref, ':', 1) WHEN reason THEN split_part(ref, ':', 2) ELSE ref END

-- name: entries
-- What must have been booked by an order's counters, next to what was. Coins may be taken for several reasons, but at
-- most once more than they were given back.
WITH booked AS (
    SELECT CASE WHEN reason IN ('refund', 'chargeback', 'withdrawal') THEN 'taken' ELSE reason END AS what,
        {id_in_ref} AS id, user_id, count(*) AS entries,
        sum(CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END) AS coins
    FROM transfers
    WHERE reason IN ('order', 'bonus', 'refund', 'chargeback', 'withdrawal', 'restored')
    GROUP BY 1, 2, 3
), expected AS (
    SELECT id, user_id, 'order' AS what, coins, 1 AS entries
    FROM orders
    WHERE credited_coins > 0
    UNION ALL
    SELECT id, user_id, 'bonus', bonus_coins, 1
    FROM orders
    WHERE credited_coins > coins
    UNION ALL
    SELECT id, user_id, 'taken', -returned_coins, returned_coins / (coins + bonus_coins)
    FROM orders
    WHERE returned_coins > 0
    UNION ALL
    SELECT id, user_id, 'restored', restored_coins, restored_coins / (coins + bonus_coins)
    FROM orders
    WHERE restored_coins > 0
)
SELECT coalesce(e.id, b.id) AS id, coalesce(e.what, b.what) AS what, e.coins AS expected,
    e.entries AS expected_entries, b.coins, b.entries
FROM expected e
FULL JOIN booked b USING (id, what, user_id)
WHERE e.coins IS DISTINCT FROM b.coins OR e.entries IS DISTINCT FROM b.entries
ORDER BY 1, 2
LIMIT :examples

-- name: money
-- What was given back and came again cancels out.
WITH posted AS (
    SELECT split_part(ref, ':', 1) AS id, CASE reason WHEN 'sale' THEN 'sale' ELSE 'given back' END AS reason,
        asset, sum(CASE reason WHEN 'reinstated' THEN -amount ELSE amount END) AS amount
    FROM postings
    WHERE reason IN ('sale', 'refund', 'chargeback', 'reinstated')
    GROUP BY 1, 2, 3
), expected AS (
    SELECT id, 'sale' AS reason, currency, amount
    FROM orders
    WHERE status NOT IN ('created', 'declined', 'expired')
    UNION ALL
    SELECT id, 'given back', currency, amount
    FROM orders
    WHERE status IN ('refunded', 'charged_back')
)
SELECT coalesce(e.id, p.id) AS id, coalesce(e.reason, p.reason) AS reason, e.amount AS expected, p.amount
FROM expected e
FULL JOIN posted p ON p.id = e.id AND p.reason = e.reason AND p.asset = e.currency
WHERE coalesce(e.amount, 0) <> coalesce(p.amount, 0)
ORDER BY 1, 2
LIMIT :examples

-- name: reinstated
-- Money came again exactly as often as an event says so.
WITH posted AS (
    SELECT split_part(ref, ':', 1) AS id, count(*) AS times
    FROM postings
    WHERE reason = 'reinstated'
    GROUP BY 1
), heard AS (
    SELECT order_id AS id, count(*) AS times
    FROM order_events
    WHERE outcome = 'applied' AND kind IN ('dispute_won', 'refund_failed')
    GROUP BY 1
)
SELECT id, coalesce(p.times, 0) AS posted, coalesce(h.times, 0) AS heard
FROM posted p
FULL JOIN heard h USING (id)
WHERE p.times IS DISTINCT FROM h.times
ORDER BY 1
LIMIT :examples

-- name: states
SELECT id, status, credited_coins, coins + bonus_coins AS total, returned_coins - restored_coins AS taken
FROM orders
WHERE status = 'credited' AND (credited_coins <> coins + bonus_coins OR returned_coins <> restored_coins)
    OR status = 'paid' AND paid_at < now() - make_interval(secs => :ttl_s)
    OR status IN ('withdrawing', 'restoring') AND reversed_at < now() - make_interval(secs => :ttl_s)
ORDER BY 1
LIMIT :examples

-- name: causes
-- Money that went back because this server asked for it: an operator has noted that first, or the buyer's coins were
-- booked as taken first.
WITH asked AS (
    SELECT o.id, o.user_id, e.at, starts_with(e.event_id, 'admin-') AS by_operator,
        replace(replace(e.event_id, 'withdraw-' || o.id, ''), '-', ':') AS round
    FROM orders o
    JOIN order_events e
        ON e.order_id = o.id AND e.kind = 'refunded' AND e.outcome = 'applied'
        AND (starts_with(e.event_id, 'admin-' || o.id) OR starts_with(e.event_id, 'withdraw-' || o.id))
)
SELECT a.id, a.user_id, a.by_operator, t.balance
FROM asked a
LEFT JOIN LATERAL (
    SELECT t.balance, b.booked_at
    FROM transfers t
    JOIN batches b ON b.id = t.batch_id
    WHERE t.user_id = a.user_id AND t.reason = 'withdrawal' AND t.ref = 'withdrawal:' || a.id || a.round
) t ON true
WHERE CASE WHEN a.by_operator THEN NOT EXISTS (
    SELECT 1
    FROM operator_acts p
    WHERE p.act = 'order.refund' AND p.subject = 'order:' || a.id AND p.at <= a.at
) ELSE coalesce(t.balance < 0 OR t.booked_at >= a.at, true) END
ORDER BY 1
LIMIT :examples

-- name: gone
-- Orders whose money is in the books although the provider said that it is gone, and not that it came again.
SELECT o.id, o.status, e.event_id, e.kind
FROM orders o
JOIN order_events e ON e.order_id = o.id
WHERE o.status IN ('paid', 'credited', 'withdrawing', 'restoring') AND e.outcome IN ('applied', 'stale')
    AND e.kind IN ('refunded', 'disputed') AND (e.payment_ref IS NULL OR e.payment_ref = o.payment_ref)
    AND NOT EXISTS (
    SELECT 1
    FROM order_events f
    WHERE f.order_id = o.id AND CASE e.kind WHEN 'refunded' THEN f.kind = 'refund_failed'
        AND f.outcome = 'applied' AND f.at >= e.at ELSE f.kind = 'dispute_won'
        AND (e.reversal_ref IS NULL OR f.reversal_ref = e.reversal_ref) END
)
ORDER BY 1, 3
LIMIT :examples

-- name: overdrafts
-- Only money that went back without the buyer's doing may take coins that are not there.
SELECT sender AS user_id, wallet_seq, 'gift' AS what, balance
FROM gifts
WHERE balance < 0 AND coins > 0
UNION ALL
SELECT t.user_id, t.wallet_seq, t.ref, t.balance
FROM transfers t
WHERE t.balance < 0 AND t.debit = 'coins:user:' || t.user_id AND t.reason NOT IN ('refund', 'chargeback')
    AND NOT (t.reason = 'withdrawal' AND EXISTS (
    SELECT 1
    FROM order_events e
    WHERE e.order_id = split_part(t.ref, ':', 2) AND e.kind IN ('refunded', 'disputed')
        AND e.outcome = 'applied' AND NOT starts_with(e.event_id, 'withdraw-' || e.order_id)
))
ORDER BY 1, 2
LIMIT :examples

-- name: used_too_often
-- The limit that held when money came counts: an operator may have changed it since. Orders from before it was kept
-- have none.
SELECT promotion_id, user_id, count(*) AS uses, max(promotion_max) AS uses_max,
    array_agg(id ORDER BY paid_at, id) AS ids
FROM orders
WHERE promotion_granted AND promotion_max IS NOT NULL
GROUP BY 1, 2
HAVING count(*) > max(promotion_max) AND min(promotion_max) > 0
ORDER BY 1, 2
LIMIT :examples

-- name: wrong_offers
SELECT id, promotion_id, promotion_granted, coins, bonus_coins, amount, full_amount
FROM orders
WHERE promotion_id IS NOT NULL AND paid_at IS NOT NULL
    AND CASE WHEN promotion_granted IS NULL THEN true WHEN promotion_granted THEN coins <> offered_coins
    OR bonus_coins <> offered_bonus_coins ELSE bonus_coins > offered_bonus_coins - promotion_coins
    OR coins > greatest(1, offered_coins * least(amount, full_amount) / full_amount) END
ORDER BY 1
LIMIT :examples
