-- Read by checks.py; see livegift/ledger/statements.py for the form.

-- name: entries
-- Refs are '<reason>:<correction>'; ids of corrections may have colons.
WITH booked AS (
    SELECT ref, user_id, count(*) AS entries,
        sum(CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END) AS coins
    FROM transfers
    WHERE reason IN ('correction', 'revocation')
    GROUP BY 1, 2
), expected AS (
    SELECT id, CASE WHEN gift_event_id IS NULL THEN 'correction:' ELSE 'revocation:' END || id AS ref, user_id, coins
    FROM corrections
    WHERE status = 'applied'
)
SELECT coalesce(e.id, regexp_replace(b.ref, '^(correction|revocation):', '')) AS id, e.coins AS expected, b.coins,
    b.entries
FROM expected e
FULL JOIN booked b USING (ref, user_id)
WHERE e.coins IS DISTINCT FROM b.coins OR b.entries <> 1
ORDER BY 1
LIMIT :examples

-- name: posted
-- Every leg of a gift: the diamonds of the creator, and what sponsors had added in coins and diamonds.
WITH posted AS (
    SELECT ref AS id, coalesce(sum(amount) FILTER (WHERE asset = 'DIAMOND'), 0) AS diamonds,
        coalesce(sum(amount) FILTER (WHERE asset = 'COIN'), 0) AS coins
    FROM postings
    WHERE reason = 'revocation'
    GROUP BY 1
), expected AS (
    SELECT c.id, {taken_back} AS diamonds, coalesce((
        SELECT sum(m.coins)
        FROM gift_matches m
        WHERE c.is_whole AND (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)
    ), 0) AS coins
    FROM corrections c
    LEFT JOIN gifts g ON c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n
    WHERE c.gift_event_id IS NOT NULL AND (c.status = 'applied' OR c.status = 'approved' AND NOT c.is_whole)
)
SELECT coalesce(e.id, p.id) AS id, coalesce(e.diamonds, 0) AS due_diamonds, coalesce(e.coins, 0) AS due_coins,
    coalesce(p.diamonds, 0) AS diamonds, coalesce(p.coins, 0) AS coins
FROM expected e
FULL JOIN posted p USING (id)
WHERE coalesce(e.diamonds, 0) <> coalesce(p.diamonds, 0) OR coalesce(e.coins, 0) <> coalesce(p.coins, 0)
ORDER BY 1
LIMIT :examples

-- name: rows
-- Rooms are compared without the gifts in these rows; each belongs to an applied revocation, and copies its gift.
SELECT coalesce(c.id, r.correction_id) AS id, c.gift_event_id AS gift, coalesce(r.entries, 0) AS entries
FROM corrections c
FULL JOIN (
    SELECT correction_id, count(*) AS entries, min(partition || '-' || gift_epoch || '-' || gift_n) AS gift
    FROM gift_revocations
    GROUP BY 1
) r ON r.correction_id = c.id
LEFT JOIN gift_revocations v ON v.correction_id = c.id
LEFT JOIN gifts g ON (g.partition, g.epoch, g.n) = (v.partition, v.gift_epoch, v.gift_n)
WHERE (r.entries IS NOT NULL OR c.gift_event_id IS NOT NULL AND c.is_whole AND c.status = 'applied')
    AND (r.entries IS DISTINCT FROM 1 OR c.status IS DISTINCT FROM 'applied'
    OR r.gift IS DISTINCT FROM c.gift_event_id
    OR (v.room, v.sender, v.combo_id, v.count, v.coins, v.diamonds, v.anonymous) IS DISTINCT FROM (g.room,
    g.sender, g.combo_id, g.count, g.coins, g.diamonds, g.anonymous))
ORDER BY 1
LIMIT :examples

-- name: late
SELECT id, user_id, coins
FROM corrections
WHERE status = 'approved' AND decided_at < now() - make_interval(secs => :ttl_s)
ORDER BY 1
LIMIT :examples
