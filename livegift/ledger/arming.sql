-- Read by arming.py; see livegift/ledger/statements.py for the form.

-- part: after
-- On the branch that counts, positions are in the order of n, and the primary keys in that of positions.
partition = :partition AND (epoch, n) > (:epoch, :n)

-- name: touched
-- Users whose wallets were changed by what comes after a position.
SELECT sender AS user_id
FROM gifts
WHERE {after}
UNION
SELECT user_id
FROM transfers
WHERE {after}
UNION
SELECT user_id
FROM wallet_limits
WHERE {after}
UNION
SELECT user_id
FROM quarantine
WHERE {after} AND user_id IS NOT NULL

-- name: debtors
-- Users whose wallets were below zero once.
SELECT DISTINCT user_id
FROM transfers t
WHERE partition = :partition AND balance < 0 AND user_id IS NOT NULL AND EXISTS (
    SELECT 1
    FROM checkpoints c
    WHERE c.partition = t.partition AND c.frozen_by_debts
)
ORDER BY 1

-- name: heads
-- What an operator has said last: all of a wallet's entries are of one partition.
SELECT v.user_id, coalesce(h.balance, 0) AS balance, coalesce(h.seq, 0) AS seq, coalesce((
    SELECT frozen
    FROM wallet_limits l
    WHERE l.user_id = v.user_id
    ORDER BY n DESC
    LIMIT 1
), false) AS frozen
FROM unnest(CAST(:users AS text[])) AS v(user_id)
LEFT JOIN wallet_heads h ON h.user_id = v.user_id

-- name: refs
SELECT sender AS user_id, ref, payload_hash, epoch, n, coins, combo_id, repeat_count, ts_ms
FROM gifts
WHERE {after} AND ts_ms > :since_ms
UNION ALL
SELECT user_id, ref, payload_hash, epoch, n,
    CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END, NULL, NULL, ts_ms
FROM transfers
WHERE {after} AND ts_ms > :since_ms
ORDER BY epoch, n
LIMIT :page

-- name: streaks
-- A streak is without what was revoked of it after its last gift; that gift's own count knows what was before.
SELECT DISTINCT
    ON (room, gift_id, receiver, anonymous, sender) gifts.*, coalesce(v.count, 0) AS revoked,
    greatest(gifts.n, v.last_n) AS last_n
FROM gifts
JOIN gift_kinds k ON k.id = gift_id AND k.streakable
LEFT JOIN LATERAL (
    SELECT sum(r.count) AS count, max(r.n) AS last_n
    FROM gift_revocations r
    WHERE r.room = gifts.room AND r.partition = gifts.partition AND r.combo_id = gifts.combo_id
        AND r.n > gifts.n
) v ON true
WHERE gifts.{after} AND ts_ms > :since_ms
ORDER BY room, gift_id, receiver, anonymous, sender, gifts.n DESC

-- name: revoked
SELECT EXISTS (
    SELECT 1
    FROM gift_revocations
    WHERE {after}
)

-- name: ended
SELECT combo_id
FROM streak_ends
WHERE combo_id = ANY(CAST(:combos AS text[]))

-- name: ended_after
SELECT combo_id
FROM streak_ends
WHERE {after}

-- name: next_room_epoch
SELECT setval('room_epochs', greatest(nextval('room_epochs') + :stride,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint))

-- name: advance_marks
WITH old AS (
    SELECT partition, mark_epoch, mark_n
    FROM checkpoints
    WHERE partition = ANY(CAST(:ps AS int[])) AND mark_at <= now() - make_interval(secs => :keep)
    ORDER BY partition
    FOR UPDATE SKIP LOCKED
)
UPDATE checkpoints c
SET mark_epoch = c.epoch, mark_n = c.n, mark_at = now()
FROM old
WHERE c.partition = old.partition
RETURNING c.partition, old.mark_epoch, old.mark_n
