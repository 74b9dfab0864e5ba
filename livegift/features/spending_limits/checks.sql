-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- name: at_version
SELECT l.*
FROM unnest(CAST(:users AS text[]), CAST(:versions AS bigint[])) AS v(user_id, version)
JOIN wallet_limits l ON l.user_id = v.user_id AND l.version = v.version

-- name: holes
SELECT user_id, count(*) AS rows, max(version) AS newest
FROM wallet_limits
GROUP BY user_id
HAVING count(*) <> max(version) OR min(version) <> 1
ORDER BY 1
LIMIT :examples

-- name: above
-- Gifts above the viewer's own limit for one gift, while it was in force.
SELECT g.sender, g.coins, l.per_gift, g.partition || '-' || g.epoch || '-' || g.n AS event_id
FROM gifts g
JOIN LATERAL (
    SELECT *
    FROM wallet_limits w
    WHERE w.user_id = g.sender AND w.n < g.n
    ORDER BY w.n DESC
    LIMIT 1
) l ON true
WHERE g.day > 0 AND (l.pending_ms = 0 OR g.ts_ms < l.pending_ms) AND g.coins > l.per_gift AND EXISTS (
    SELECT 1
    FROM wallet_limits x
    WHERE x.user_id = g.sender
)
ORDER BY 1, 4
LIMIT :examples
