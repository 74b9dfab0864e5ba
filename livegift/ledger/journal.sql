-- Read by journal.py; see livegift/ledger/statements.py for the form.

-- name: move_checkpoints
UPDATE checkpoints c
SET epoch = v.epoch, n = v.n, gifts = c.gifts + v.gifts, coins = c.coins + v.coins, booked_at = now()
FROM unnest(CAST(:partitions AS int[]), CAST(:epochs AS bigint[]), CAST(:ns AS bigint[]), CAST(:gifts AS bigint[]),
    CAST(:coins AS bigint[])) AS v(partition, epoch, n, gifts, coins)
WHERE c.partition = v.partition
