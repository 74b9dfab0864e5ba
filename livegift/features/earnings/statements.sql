-- Read by statements.py; see livegift/ledger/statements.py for the form.

-- part: place
g.partition || '-' || g.epoch || '-' || g.n

-- part: event_id_key
(
    SELECT value
    FROM system
    WHERE key = 'event_id_key'
)

-- part: turn
-- Where a gift stands among those of its second: shuffled by a key that only we have.
encode(sha256(convert_to({event_id_key} || {place}, 'UTF8')), 'hex') COLLATE "C"

-- part: lines
-- The id of a posting is a bigint, which has 19 digits at most.
SELECT date_trunc('second', b.booked_at) AS at, 0 AS source, {turn} AS turn, {place} AS entry, 'gift' AS what,
    {place} AS ref, g.diamonds, CASE WHEN NOT g.anonymous THEN b.id END AS batch_id, g.room, g.gift_id,
    g.count AS pieces, g.coins, CASE WHEN NOT g.anonymous THEN g.sender END AS sender
FROM batches b
JOIN gifts g ON g.batch_id = b.id
WHERE g.receiver = :creator AND b.booked_at >= :start AND b.booked_at < :end
UNION ALL
SELECT date_trunc('second', b.booked_at), 2 + s.number, {turn}, {place}, 'match', {place}, m.diamonds,
    CASE WHEN NOT g.anonymous THEN b.id END, g.room, g.gift_id, m.units, m.coins, s.sponsor
FROM batches b
JOIN gifts g ON g.batch_id = b.id
JOIN gift_matches m ON (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)
JOIN sponsor_matches s ON s.id = m.match_id
WHERE g.receiver = :creator AND b.booked_at >= :start AND b.booked_at < :end
UNION ALL
SELECT date_trunc('second', at), 1, lpad(id::text, 19, '0') COLLATE "C", id::text, reason, ref,
    CASE WHEN credit = :account THEN amount ELSE -amount END, NULL, NULL, NULL, NULL, NULL, NULL
FROM postings
WHERE (credit = :account OR debit = :account) AND at >= :start AND at < :end

-- name: page
-- The turn of the line to begin after is made from its entry, as its own was.
SELECT *
FROM ({lines}) l
WHERE CAST(:after_at AS timestamptz) IS NULL OR (at, source, turn) > (CAST(:after_at AS timestamptz),
    CAST(:source AS bigint), CASE WHEN CAST(:source AS bigint) = 1 THEN lpad(CAST(:entry AS text), 19, '0')
    ELSE encode(sha256(convert_to({event_id_key} || CAST(:entry AS text), 'UTF8')), 'hex') COLLATE "C" END)
ORDER BY at, source, turn
LIMIT :limit

-- name: groups
SELECT to_char(at, 'YYYY-MM-DD') AS day, CASE WHEN :by_room THEN room END AS room, what, count(*) AS lines,
    coalesce(sum(coins), 0) AS coins, sum(diamonds) AS diamonds
FROM ({lines}) l
GROUP BY 1, 2, 3
ORDER BY 1, 3, 2 NULLS FIRST

-- name: balance
-- What was there before a moment: gifts from the hours, as days begin with an hour.
SELECT (
    SELECT coalesce(sum(diamonds), 0)
    FROM earned_hours
    WHERE creator = :creator AND hour < :at
) + (
    SELECT coalesce(sum(CASE WHEN credit = :account THEN amount ELSE -amount END), 0)
    FROM postings
    WHERE (credit = :account OR debit = :account) AND at < :at
)

-- name: closed
SELECT :at < now() - make_interval(secs => :settles_s)
