-- Read by booking.py; see livegift/ledger/statements.py for the form.

-- name: added
SELECT x.*
FROM gift_matches x
JOIN unnest(CAST(:partitions AS int[]), CAST(:epochs AS bigint[]), CAST(:ns AS bigint[])) AS v(partition, epoch, n)
    USING (partition, epoch, n)
ORDER BY x.partition, x.epoch, x.n, x.match_id

-- name: add
INSERT INTO gift_matches (partition, epoch, n, match_id, units, coins, diamonds)
SELECT *
FROM unnest(CAST(:partitions AS int[]), CAST(:epochs AS bigint[]), CAST(:ns AS bigint[]), CAST(:ids AS text[]),
    CAST(:units AS int[]), CAST(:coins AS bigint[]), CAST(:diamonds AS bigint[]))
