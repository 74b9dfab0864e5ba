-- Read by clawbacks.py; see livegift/ledger/statements.py for the form.

-- name: fresh
-- What the order's coins may have paid for: the sender's gifts after they were credited, as long as they are pending.
-- Gifts that are revoked, or about to be, give everything back that way.
SELECT g.partition, g.epoch, g.n, g.receiver, g.coins - coalesce(h.coins, 0) AS coins,
    g.diamonds - coalesce(h.diamonds, 0) AS diamonds
FROM gifts g
JOIN batches b ON b.id = g.batch_id
LEFT JOIN LATERAL (
    SELECT sum(coins) AS coins, sum(diamonds) AS diamonds
    FROM gift_hold_backs p
    WHERE (p.partition, p.epoch, p.n) = (g.partition, g.epoch, g.n)
) h ON true
WHERE g.sender = :sender AND g.wallet_seq > :after_seq
    AND date_trunc('hour', b.booked_at) >= date_trunc('hour', now()) - make_interval(hours => :hold_h)
    AND NOT EXISTS (
    SELECT 1
    FROM corrections c
    WHERE c.status <> 'rejected' AND c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n
)
ORDER BY g.wallet_seq DESC
LIMIT :gifts_max

-- name: credited
SELECT min(wallet_seq)
FROM transfers
WHERE user_id = :sender AND ref = ANY(CAST(:refs AS text[])) AND reason = ANY(CAST(:reasons AS text[]))

-- name: spendable
-- With the coins of corrections that are on their way: no diamonds are held back for a gift that is being undone.
SELECT greatest(balance + (
    SELECT coalesce(sum(coins), 0)
    FROM corrections c
    WHERE c.user_id = :sender AND c.status = 'approved'
), 0)
FROM wallet_heads
WHERE user_id = :sender

-- name: of_gift
SELECT coalesce(sum(diamonds), 0)
FROM gift_hold_backs
WHERE partition = :partition AND epoch = :epoch AND n = :n

-- name: wrong
WITH noted AS (
    SELECT 'diamonds:user:' || creator AS account, order_id, sum(diamonds) AS diamonds
    FROM gift_hold_backs
    GROUP BY 1, 2
), posted AS (
    SELECT debit AS account, ref AS order_id, sum(amount) AS diamonds
    FROM postings
    WHERE reason = 'hold_back'
    GROUP BY 1, 2
)
SELECT order_id, account, n.diamonds AS noted, p.diamonds AS posted
FROM noted n
FULL JOIN posted p USING (order_id, account)
WHERE n.diamonds IS DISTINCT FROM p.diamonds
ORDER BY 1, 2
LIMIT :examples
