-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- name: hours
WITH legs AS (
    SELECT receiver, 1 AS gift, diamonds
    FROM gifts
    UNION ALL
    SELECT g.receiver, 0, m.diamonds
    FROM gift_matches m
    JOIN gifts g ON (g.partition, g.epoch, g.n) = (m.partition, m.epoch, m.n)
)
SELECT coalesce(e.creator, g.receiver) AS creator, e.gifts, e.diamonds, g.gifts AS booked,
    g.diamonds AS booked_diamonds
FROM (
    SELECT creator, sum(gifts) AS gifts, sum(diamonds) AS diamonds
    FROM earned_hours
    GROUP BY 1
) e
FULL JOIN (
    SELECT receiver, sum(gift) AS gifts, sum(diamonds) AS diamonds
    FROM legs
    GROUP BY 1
) g ON g.receiver = e.creator
WHERE e.gifts IS DISTINCT FROM g.gifts OR e.diamonds IS DISTINCT FROM g.diamonds
ORDER BY 1
LIMIT :examples
