-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- name: posted
WITH expected AS (
    SELECT id, 'payout.hold' AS reason, 'DIAMOND' AS asset, diamonds AS amount
    FROM payouts
    UNION ALL
    SELECT id, 'payout.return', 'DIAMOND', diamonds
    FROM payouts
    WHERE status IN ('rejected', 'cancelled', 'failed')
    UNION ALL
    SELECT id, 'payout.paid', 'DIAMOND', diamonds
    FROM payouts
    WHERE status = 'paid'
    UNION ALL
    SELECT id, 'payout.paid', currency, amount
    FROM payouts
    WHERE status = 'paid'
), posted AS (
    SELECT ref AS id, reason, asset, sum(amount) AS amount
    FROM postings
    WHERE reason LIKE 'payout.%'
    GROUP BY 1, 2, 3
)
SELECT coalesce(e.id, p.id) AS id, coalesce(e.reason, p.reason) AS reason, e.amount AS expected, p.amount
FROM expected e
FULL JOIN posted p USING (id, reason, asset)
WHERE e.amount IS DISTINCT FROM p.amount
ORDER BY 1, 2
LIMIT :examples

-- name: signs
-- Only creators who were paid for gifts that were revoked afterwards may be below zero, by no more than those: what was
-- about to be revoked when the last payout was asked for was not available then.
SELECT a.name, a.balance
FROM accounts a
WHERE a.balance < 0 AND (a.name LIKE 'diamonds:held:%' OR a.name LIKE 'diamonds:user:%' AND -a.balance > (
    SELECT coalesce(sum({taken_back}), 0)
    FROM corrections c
    JOIN gifts g ON c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n
    WHERE 'diamonds:user:' || c.receiver = a.name AND c.status = 'applied' AND c.decided_at > coalesce((
        SELECT max(p.requested_at)
        FROM payouts p
        WHERE p.creator = c.receiver
    ), '-infinity')
))
ORDER BY 1
LIMIT :examples
