-- Read by allowances.py; see livegift/ledger/statements.py for the form.

-- name: latest
SELECT DISTINCT ON (user_id) *
FROM wallet_limits
WHERE user_id = ANY(CAST(:users AS text[]))
ORDER BY user_id, version DESC

-- name: usage
-- The last day that a gift was sent on, what was spent on it and in its month.
WITH last AS (
    SELECT sender, max(day) AS day
    FROM gifts
    WHERE sender = ANY(CAST(:users AS text[])) AND day > 0
    GROUP BY sender
)
SELECT l.sender, l.day, sum(g.coins) FILTER (WHERE g.day = l.day) AS day_coins, sum(g.coins) AS month_coins
FROM last l
JOIN gifts g ON g.sender = l.sender AND g.day / 100 = l.day / 100
GROUP BY 1, 2

-- name: frozen
-- The reason that is known for a freeze: an operator's, or the change that has led below zero, whichever came last.
SELECT why
FROM (
    SELECT n, why, frozen
    FROM wallet_limits
    WHERE user_id = :user
    UNION ALL
    SELECT n, reason, true
    FROM transfers
    WHERE user_id = :user AND balance < 0
) e
WHERE frozen AND why <> ''
ORDER BY n DESC
LIMIT 1
