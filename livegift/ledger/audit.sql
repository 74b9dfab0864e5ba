-- Read by audit.py; see livegift/ledger/statements.py for the form.

-- name: legs
-- All legs of all transfers, from the core's rows alone.
SELECT 'coins:user:' || sender AS name, -coins AS change
FROM gifts
UNION ALL
SELECT 'coins:spent:p' || partition, coins
FROM gifts
UNION ALL
SELECT 'diamonds:issued:p' || partition, -diamonds
FROM gifts
UNION ALL
SELECT 'diamonds:user:' || receiver, diamonds
FROM gifts
UNION ALL
SELECT debit, -amount
FROM transfers
UNION ALL
SELECT credit, amount
FROM transfers
UNION ALL
SELECT debit, -amount
FROM postings
UNION ALL
SELECT credit, amount
FROM postings
UNION ALL
SELECT 'coins:user:' || user_id, coins
FROM quarantine
WHERE user_id IS NOT NULL AND status <> 'booked'
UNION ALL
SELECT 'coins:suspense:p' || partition, -coins
FROM quarantine
WHERE user_id IS NOT NULL AND status <> 'booked'

-- part: entries
-- All changes of all wallets.
SELECT sender AS user_id, wallet_seq AS seq, -coins AS delta, balance
FROM gifts
UNION ALL
SELECT user_id, wallet_seq, CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END, balance
FROM transfers
UNION ALL
SELECT user_id, wallet_seq, coins, balance
FROM quarantine
WHERE user_id IS NOT NULL AND status <> 'booked'

-- part: gifts
-- Gifts with room and position, those in quarantine that can be read included: the relay has published them.
SELECT partition, epoch, n, room, coins, diamonds
FROM gifts
UNION ALL
SELECT partition, epoch, n, room, -coins, diamonds
FROM quarantine
WHERE room IS NOT NULL AND status <> 'booked'

-- name: assets
SELECT asset, sum(balance) AS total, count(*) AS accounts
FROM accounts
GROUP BY asset

-- name: accounts
WITH legs AS ({legs}), sums AS (
    SELECT name, sum(change) AS total
    FROM legs
    GROUP BY name
)
SELECT coalesce(a.name, s.name) AS name, a.balance, s.total
FROM accounts a
FULL JOIN sums s ON s.name = a.name
WHERE coalesce(a.balance, 0) <> coalesce(s.total, 0)
ORDER BY 1
LIMIT :examples

-- name: chains
WITH entries AS ({entries}), chain AS (
    SELECT user_id, seq, delta, balance, lag(seq, 1, 0) OVER w AS before_seq,
        lag(balance, 1, 0) OVER w AS before_balance
    FROM entries
    WINDOW w AS (PARTITION BY user_id ORDER BY seq)
)
SELECT user_id, seq, before_seq, before_balance, delta, balance
FROM chain
WHERE seq <> before_seq + 1 OR balance <> before_balance + delta
ORDER BY user_id, seq
LIMIT :examples

-- name: heads
WITH entries AS ({entries}), last AS (
    SELECT DISTINCT ON (user_id) user_id, seq, balance
    FROM entries
    ORDER BY user_id, seq DESC
)
SELECT coalesce(h.user_id, l.user_id) AS user_id, h.seq AS head_seq, h.balance AS head_balance, l.seq, l.balance,
    a.balance AS account_balance
FROM wallet_heads h
FULL JOIN last l ON l.user_id = h.user_id
LEFT JOIN accounts a ON a.name = 'coins:user:' || coalesce(h.user_id, l.user_id)
WHERE h.seq IS DISTINCT FROM l.seq OR h.balance IS DISTINCT FROM l.balance
    OR coalesce(a.balance, 0) <> coalesce(h.balance, 0)
ORDER BY 1
LIMIT :examples

-- name: at_seq
SELECT v.user_id, coalesce(g.balance, t.balance, q.balance) AS balance
FROM unnest(CAST(:users AS text[]), CAST(:seqs AS bigint[])) AS v(user_id, seq)
LEFT JOIN gifts g ON g.sender = v.user_id AND g.wallet_seq = v.seq
LEFT JOIN transfers t ON t.user_id = v.user_id AND t.wallet_seq = v.seq
LEFT JOIN quarantine q ON q.user_id = v.user_id AND q.wallet_seq = v.seq

-- name: accepted
SELECT v.partition, count(g.n) AS gifts, coalesce(sum(g.coins), 0) AS coins
FROM unnest(CAST(:partitions AS int[]), CAST(:ns AS bigint[])) AS v(partition, n)
LEFT JOIN ({gifts}) g ON g.partition = v.partition AND g.n <= v.n
GROUP BY v.partition

-- name: unread
SELECT partition, count(*) AS entries
FROM quarantine
WHERE room IS NULL AND status <> 'booked'
GROUP BY partition

-- name: room_sums
SELECT g.room, sum(g.gifts) AS gifts, sum(g.coins) AS coins, sum(g.diamonds) AS diamonds
FROM (
    SELECT *, 1 AS gifts
    FROM ({gifts}) e
    UNION ALL
    SELECT partition, epoch, n, room, -coins, -diamonds, -1
    FROM gift_revocations
) g
JOIN unnest(CAST(:rooms AS text[]), CAST(:partitions AS int[]), CAST(:epochs AS bigint[]),
    CAST(:ns AS bigint[])) AS w(room, partition, epoch, n) ON g.room = w.room AND g.partition = w.partition
WHERE (g.epoch, g.n) <= (w.epoch, w.n)
GROUP BY g.room

-- name: room_lasts
SELECT g.room, g.partition, max(g.n) AS n
FROM (
    SELECT room, partition, n
    FROM gifts
    UNION ALL
    SELECT room, partition, n
    FROM gift_revocations
) g
JOIN unnest(CAST(:partitions AS int[]), CAST(:ns AS bigint[])) AS v(partition, n)
    ON g.partition = v.partition AND g.n <= v.n
GROUP BY g.room, g.partition

-- name: refs
SELECT sender, ref, count(*) AS gifts
FROM gifts
GROUP BY sender, ref
HAVING count(*) > 1 AND max(ts_ms) - min(ts_ms) < :ttl_ms
ORDER BY 1, 2
LIMIT :examples

-- name: rooms
SELECT id, status
FROM rooms
UNION
SELECT DISTINCT room, 'unknown'
FROM gifts
WHERE NOT EXISTS (
    SELECT 1
    FROM rooms
    WHERE rooms.id = gifts.room
)
ORDER BY 1

-- name: below
SELECT DISTINCT user_id
FROM transfers
WHERE user_id = ANY(CAST(:users AS text[])) AND balance < 0 AND reason = ANY(CAST(:reasons AS text[]))
