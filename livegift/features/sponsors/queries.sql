-- Read by queries.py; see livegift/ledger/statements.py for the form.

-- name: write
-- A payment that comes after the end is due from then on, and so is what comes free when all was given back.
UPDATE sponsor_matches m
SET status = v.status, used_coins = v.used_coins, used_diamonds = v.used_diamonds, returned_coins = v.returned_coins,
    partition = v.partition, starts_at = to_timestamp(0) + v.starts_ms * interval '1 millisecond',
    ended_at = CASE WHEN v.status IN ('funding', 'active') THEN NULL WHEN m.partition IS NULL THEN now()
        WHEN m.returned_coins >= m.budget_coins - m.used_coins AND v.used_coins < m.used_coins THEN now()
        ELSE coalesce(m.ended_at, now()) END
FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:used_coins AS bigint[]),
    CAST(:used_diamonds AS bigint[]), CAST(:returned_coins AS bigint[]), CAST(:partitions AS int[]),
    CAST(:starts AS bigint[]))
    AS v(id, status, used_coins, used_diamonds, returned_coins, partition, starts_ms)
WHERE m.id = v.id
