-- Read by queries.py; see livegift/ledger/statements.py for the form.

-- name: add_to_hours
-- In the order of the names, as all bookings lock.
INSERT INTO earned_hours (creator, hour, gifts, coins, diamonds)
SELECT c, date_trunc('hour', now()), g, k, d
FROM unnest(CAST(:creators AS text[]), CAST(:gifts AS bigint[]), CAST(:coins AS bigint[]),
    CAST(:diamonds AS bigint[])) AS v(c, g, k, d)
ORDER BY c
ON CONFLICT (creator, hour) DO UPDATE SET gifts = earned_hours.gifts + excluded.gifts,
    coins = earned_hours.coins + excluded.coins, diamonds = earned_hours.diamonds + excluded.diamonds

-- name: lock_creator
SELECT pg_advisory_xact_lock(hashtextextended('payouts of ' || :creator, 0))

-- part: taken_back
-- What a correction c that was applied has taken from the creator of the gift g: what was left of the gift's own
-- diamonds, and what sponsors had added.
c.diamonds + CASE WHEN c.is_whole THEN coalesce((
    SELECT sum(m.diamonds)
    FROM gift_matches m
    WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)
), 0) ELSE 0 END

-- part: accounts
SELECT (
    SELECT balance
    FROM accounts
    WHERE name = :own
) AS own, (
    SELECT balance
    FROM accounts
    WHERE name = :held
) AS held, (
    SELECT coalesce(sum(diamonds), 0)
    FROM payouts
    WHERE creator = :creator AND status = 'paid'
) AS paid

-- part: revoked_gifts
-- The corrections c of the creator that revoke a gift g, and the batch b that has booked it.
corrections c
    JOIN gifts g
        ON g.partition = c.gift_partition AND g.epoch = CAST(split_part(c.gift_event_id, '-', 2) AS bigint)
        AND g.n = CAST(split_part(c.gift_event_id, '-', 3) AS bigint)
    JOIN batches b ON b.id = g.batch_id

-- part: pending
-- An hour is available when the holding period after its end is over. What was revoked is no longer pending; what an
-- approved revocation will take is not available either.
WITH cut AS (
    SELECT date_trunc('hour', now()) - make_interval(hours => :hold_h) AS hour
), young AS (
    SELECT e.hour, e.diamonds
    FROM earned_hours e, cut
    WHERE e.creator = :creator AND :hold_h > 0 AND e.hour >= cut.hour
)
SELECT (
    SELECT coalesce(sum(diamonds), 0)
    FROM young
) AS earned, (
    SELECT min(hour) + make_interval(hours => :hold_h + 1)
    FROM young
) AS next_at, (
    SELECT coalesce(sum({taken_back}), 0)
    FROM {revoked_gifts}, cut
    WHERE c.receiver = :creator AND c.status = 'applied' AND :hold_h > 0
        AND date_trunc('hour', b.booked_at) >= cut.hour
) AS revoked, (
    SELECT coalesce(sum({taken_back}), 0)
    FROM {revoked_gifts}, cut
    WHERE c.receiver = :creator AND c.status = 'approved' AND c.is_whole
        AND (:hold_h = 0 OR date_trunc('hour', b.booked_at) < cut.hour)
) AS promised, (
    SELECT coalesce(sum(h.diamonds), 0)
    FROM gift_hold_backs h
    JOIN gifts g ON (g.partition, g.epoch, g.n) = (h.partition, h.epoch, h.n)
    JOIN batches b ON b.id = g.batch_id, cut
    WHERE h.creator = :creator AND :hold_h > 0 AND date_trunc('hour', b.booked_at) >= cut.hour
) AS held_back

-- part: held
-- Diamonds from gifts of held senders that are old enough, with what sponsors have added: a revocation takes back both.
-- What was revoked of them is gone anyway.
SELECT coalesce(sum(g.diamonds + (
    SELECT coalesce(sum(m.diamonds), 0)
    FROM gift_matches m
    WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)
) - (
    SELECT coalesce(sum(p.diamonds), 0)
    FROM gift_hold_backs p
    WHERE (p.partition, p.epoch, p.n) = (g.partition, g.epoch, g.n)
)), 0) AS diamonds
FROM sender_holds h
JOIN gifts g ON g.sender = h.sender
JOIN batches b ON b.id = g.batch_id
WHERE g.receiver = :creator AND (:hold_h = 0
    OR date_trunc('hour', b.booked_at) < date_trunc('hour', now()) - make_interval(hours => :hold_h))
    AND NOT EXISTS (
    SELECT 1
    FROM corrections c
    WHERE c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n AND c.status = 'applied'
)

-- name: earnings
-- One statement, so all figures are of one moment. A revocation that is booked between two statements would be gone
-- from what is pending but still be in the account, so that a payout could be asked for it.
SELECT *
FROM ({accounts}) accounts, ({pending}) young, ({held}) senders
