-- Read by wallet_balances.py; see livegift/ledger/statements.py for the form.

-- name: add_heads
INSERT INTO wallet_heads (user_id, partition, epoch, seq, balance)
SELECT u, p, 0, 0, 0
FROM unnest(CAST(:users AS text[]), CAST(:partitions AS int[])) AS v(u, p)
ORDER BY u
ON CONFLICT (user_id) DO NOTHING

-- name: move_heads
UPDATE wallet_heads h
SET epoch = v.epoch, seq = v.seq, balance = v.balance
FROM unnest(CAST(:users AS text[]), CAST(:before_seqs AS bigint[]), CAST(:before_balances AS bigint[]),
    CAST(:epochs AS bigint[]), CAST(:seqs AS bigint[]), CAST(:balances AS bigint[]))
    AS v(user_id, before_seq, before_balance, epoch, seq, balance)
WHERE h.user_id = v.user_id AND h.seq = v.before_seq AND h.balance = v.before_balance
RETURNING h.user_id

-- name: set_head
UPDATE wallet_heads
SET seq = :seq, balance = :balance
WHERE user_id = :user
