-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- part: figures
-- All figures of each match that has a row anywhere. What was added to gifts that were revoked is not used. Ids of
-- matches have no colons.
WITH added AS (
    SELECT match_id AS id, sum(coins) AS coins, sum(diamonds) AS diamonds
    FROM gift_matches x
    WHERE NOT EXISTS (
        SELECT 1
        FROM gift_revocations v
        WHERE (v.partition, v.gift_epoch, v.gift_n) = (x.partition, x.epoch, x.n)
    )
    GROUP BY 1
), posted AS (
    SELECT split_part(ref, ':', 1) AS id, sum(amount) FILTER (WHERE reason = 'sponsor') AS funded,
        sum(amount) FILTER (WHERE reason = 'sponsor_return') AS released,
        sum(CASE WHEN credit = 'coins:sponsor_loss' THEN -amount ELSE amount END)
            FILTER (WHERE reason = 'sponsor_loss') AS lost
    FROM postings
    WHERE reason IN ('sponsor', 'sponsor_return', 'sponsor_loss')
    GROUP BY 1
), moved AS (
    SELECT split_part(ref, ':', 2) AS id, user_id, sum(amount) FILTER (WHERE reason = 'sponsor') AS paid,
        sum(amount) FILTER (WHERE reason = 'sponsor_return') AS got_back
    FROM transfers
    WHERE reason IN ('sponsor', 'sponsor_return')
    GROUP BY 1, 2
), held AS (
    SELECT split_part(name, ':', 3) AS id, balance
    FROM accounts
    WHERE name LIKE 'coins:match:%'
), ids AS (
    SELECT id
    FROM sponsor_matches
    UNION
    SELECT id
    FROM added
    UNION
    SELECT id
    FROM posted
    UNION
    SELECT id
    FROM moved
    UNION
    SELECT id
    FROM held
), figures AS (
    SELECT ids.id, m.id IS NOT NULL AS is_known, coalesce(m.status, 'unknown') AS status,
        m.status IN ('exhausted', 'ended', 'returned') AS is_over, m.partition IS NOT NULL AS is_paid,
        coalesce(m.budget_coins, 0) AS budget, coalesce(m.used_coins, 0) AS used,
        coalesce(m.used_diamonds, 0) AS used_diamonds, coalesce(m.returned_coins, 0) AS returned,
        m.ended_at, coalesce(a.coins, 0) AS added, coalesce(a.diamonds, 0) AS added_diamonds,
        coalesce(p.funded, 0) AS funded, coalesce(p.released, 0) AS released, coalesce(p.lost, 0) AS lost,
        coalesce(v.paid, 0) AS paid, coalesce(v.got_back, 0) AS got_back, coalesce(h.balance, 0) AS held
    FROM ids
    LEFT JOIN sponsor_matches m ON m.id = ids.id
    LEFT JOIN added a ON a.id = ids.id
    LEFT JOIN posted p ON p.id = ids.id
    LEFT JOIN moved v ON v.id = ids.id AND v.user_id = coalesce(m.sponsor, v.user_id)
    LEFT JOIN held h ON h.id = ids.id
)

-- name: wrong
{figures}
SELECT *, CASE WHEN is_paid THEN budget ELSE 0 END AS due_paid,
    CASE WHEN is_paid AND is_over THEN budget - used ELSE 0 END AS due_released
FROM figures
WHERE NOT is_known OR used <> added OR used_diamonds <> added_diamonds OR added > budget
    OR funded <> CASE WHEN is_paid THEN budget ELSE 0 END OR paid <> funded
    OR released <> CASE WHEN is_paid AND is_over THEN budget - used ELSE 0 END
    OR held <> funded - added - released OR got_back <> returned OR returned - lost > released
    OR (status = 'returned' AND returned - lost <> released)
    OR (status = 'active' AND NOT is_paid) OR (status = 'funding' AND is_paid)
    OR (is_over AND returned < released AND ended_at < now() - make_interval(secs => :ttl_s))
ORDER BY id
LIMIT :examples

-- name: rows
-- A row's gift is booked, in the match's room, from somebody else to somebody else, and its price is the row's.
SELECT x.match_id, x.partition, x.epoch, x.n, g.n IS NOT NULL AS is_booked, x.units, x.coins, x.diamonds
FROM gift_matches x
LEFT JOIN gifts g USING (partition, epoch, n)
LEFT JOIN sponsor_matches m ON m.id = x.match_id
WHERE g.n IS NULL OR m.id IS NULL OR g.room <> m.room OR g.sender IN (m.sponsor, g.receiver)
    OR g.receiver = m.sponsor OR g.gift_id <> coalesce(m.gift_id, g.gift_id) OR x.units > g.count * m.factor
    OR x.coins * g.count <> x.units * g.coins OR x.diamonds * g.count <> x.units * g.diamonds
    OR g.ts_ms < floor(extract(epoch FROM m.starts_at) * 1000)
    OR g.ts_ms >= ceil(extract(epoch FROM m.ends_at) * 1000)
ORDER BY 1, 2, 3, 4
LIMIT :examples

-- name: between
-- Between sponsors' wallets and matches there is only what was released and is not back yet.
{figures}
SELECT (
    SELECT coalesce(sum(balance), 0)
    FROM accounts
    WHERE name LIKE 'coins:sponsored:p%'
) AS held, coalesce(sum(released - returned + lost), 0) AS due
FROM figures

-- name: legs
-- What matches have moved.
SELECT 'coins:match:' || match_id, -coins
FROM gift_matches
UNION ALL
SELECT 'coins:spent:p' || partition, coins
FROM gift_matches
UNION ALL
SELECT 'diamonds:issued:p' || partition, -diamonds
FROM gift_matches
UNION ALL
SELECT 'diamonds:user:' || gifts.receiver, gift_matches.diamonds
FROM gift_matches
JOIN gifts USING (partition, epoch, n)

-- name: checked
-- How much was compared: matches and their rows.
SELECT (
    SELECT count(*)
    FROM sponsor_matches
) + (
    SELECT count(*)
    FROM gift_matches
)
