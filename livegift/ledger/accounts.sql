-- Read by accounts.py; see livegift/ledger/statements.py for the form.

-- name: add
-- In the order of the names, which all bookings share: no two of them can wait for each other.
INSERT INTO accounts (name, asset, balance)
SELECT n, a, c
FROM unnest(CAST(:names AS text[]), CAST(:assets AS text[]), CAST(:changes AS bigint[])) AS v(n, a, c)
ORDER BY n
ON CONFLICT (name) DO UPDATE SET balance = accounts.balance + excluded.balance
RETURNING name, balance
