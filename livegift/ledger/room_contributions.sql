-- Read by room_contributions.py; see livegift/ledger/statements.py for the form.

-- name: checkpoints
SELECT partition, epoch, n
FROM checkpoints

-- name: lasts
-- An index gives the last gift of a room and partition, so that a room with a million gifts costs no more than another.
-- The last revocation counts as well: the room has to know it.
SELECT r.room, p.partition, max(e.n) AS n
FROM unnest(CAST(:rooms AS text[])) AS r(room)
CROSS JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS p(partition, n)
CROSS JOIN LATERAL ((
    SELECT n
    FROM gifts
    WHERE gifts.room = r.room AND gifts.partition = p.partition AND gifts.n <= p.n
    ORDER BY n DESC
    LIMIT 1
) UNION ALL (
    SELECT n
    FROM gift_revocations v
    WHERE v.room = r.room AND v.partition = p.partition AND v.n <= p.n
    ORDER BY n DESC
    LIMIT 1
)) e
GROUP BY 1, 2

-- part: room_gifts
-- What counts in a room: its gifts, those in quarantine that can be read (they were published as well), and negative
-- amounts for each that was revoked, from there on.
SELECT partition, n, sender, 1 AS gifts, coins, diamonds, anonymous, ts_ms
FROM gifts
WHERE room = :room
UNION ALL
SELECT partition, n, user_id, 1, -coins, diamonds, false, NULL
FROM quarantine
WHERE room = :room AND status <> 'booked'
UNION ALL
SELECT partition, n, sender, -1, -coins, -diamonds, anonymous, NULL
FROM gift_revocations
WHERE room = :room

-- part: sums
sum(g.gifts) AS gifts, sum(g.coins) AS coins, sum(g.diamonds) AS diamonds

-- part: standing
-- When the last gift that is not anonymous was sent, revoked or not: what the room knows as well.
g.sender, sum(g.gifts) AS gifts, coalesce(sum(g.coins) FILTER (WHERE NOT g.anonymous), 0) AS coins,
    coalesce(max(g.ts_ms) FILTER (WHERE NOT g.anonymous), 0) AS reached_ms

-- part: upto
FROM ({room_gifts}) g
JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n)
    ON g.partition = v.partition AND g.n <= v.n

-- name: contribution
SELECT {sums}, max(n) AS last_n
FROM ({room_gifts}) g
WHERE partition = :partition

-- name: gifters
SELECT {standing}
FROM ({room_gifts}) g
WHERE partition = :partition
GROUP BY sender
HAVING sum(g.gifts) > 0
ORDER BY sender

-- name: contributions
SELECT g.partition, {sums} {upto}
GROUP BY 1

-- name: ranks
SELECT {standing} {upto}
GROUP BY 1
HAVING sum(g.gifts) > 0

-- name: receivers
SELECT g.receiver, sum(g.diamonds) AS diamonds
FROM (
    SELECT partition, n, receiver, diamonds
    FROM gifts
    WHERE room = :room
    UNION ALL
    SELECT r.partition, r.n, b.receiver, -r.diamonds
    FROM gift_revocations r
    JOIN gifts b ON (b.partition, b.epoch, b.n) = (r.partition, r.gift_epoch, r.gift_n)
    WHERE r.room = :room
) g
JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n)
    ON g.partition = v.partition AND g.n <= v.n
GROUP BY 1
ORDER BY 1

-- name: revoked
SELECT count(*) AS gifts, coalesce(sum(g.coins), 0) AS coins, coalesce(sum(g.diamonds), 0) AS diamonds
FROM gift_revocations g
JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n)
    ON g.partition = v.partition AND g.n <= v.n
WHERE g.room = :room

-- name: rooms
SELECT id
FROM rooms
WHERE status = 'live' OR ended_at > now() - make_interval(secs => :ended_s)
ORDER BY id

-- name: legacy_rooms
-- A room that was opened later has never had the legacy form.
SELECT id
FROM rooms
WHERE (status = 'live' OR ended_at > now() - make_interval(secs => :ended_s)) AND created_at < (
    SELECT to_timestamp(value::double precision)
    FROM system
    WHERE key = 'older_rooms_until'
)
ORDER BY id

-- name: stopped
SELECT partition
FROM checkpoints
WHERE stopped IS NOT NULL
