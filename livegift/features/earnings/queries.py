"""Creators' earnings, and how much of them can be paid out now."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import diamonds_of, held_of
from livegift.ledger.participants import Batch

# In the order of the names, as all bookings lock.
_ADD = text(
    "INSERT INTO earned_hours (creator, hour, gifts, coins, diamonds) "
    "SELECT c, date_trunc('hour', now()), g, k, d FROM unnest(CAST(:creators AS text[]), CAST(:gifts AS bigint[]), "
    "CAST(:coins AS bigint[]), CAST(:diamonds AS bigint[])) AS v(c, g, k, d) ORDER BY c "
    "ON CONFLICT (creator, hour) DO UPDATE SET gifts = earned_hours.gifts + excluded.gifts, "
    "coins = earned_hours.coins + excluded.coins, diamonds = earned_hours.diamonds + excluded.diamonds"
)
# What a correction c that was applied has taken from the creator of the gift g: what was left of the gift's own
# diamonds, and what sponsors had added.
TAKEN_BACK = (
    "c.diamonds + CASE WHEN c.is_whole THEN coalesce((SELECT sum(m.diamonds) FROM gift_matches m "
    "WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)), 0) ELSE 0 END"
)
# An hour is available when the holding period after its end is over. What was revoked is no longer pending; what an
# approved revocation will take is not available either.
_PENDING = (
    "WITH cut AS (SELECT date_trunc('hour', now()) - make_interval(hours => :hold_h) AS hour), "  # noqa: S608 - our own text
    "young AS (SELECT e.hour, e.diamonds FROM earned_hours e, cut WHERE e.creator = :creator AND :hold_h > 0 "
    "AND e.hour >= cut.hour) "
    "SELECT (SELECT coalesce(sum(diamonds), 0) FROM young) AS earned, "
    "(SELECT min(hour) + make_interval(hours => :hold_h + 1) FROM young) AS next_at, "
    f"(SELECT coalesce(sum({TAKEN_BACK}), 0) FROM corrections c JOIN gifts g "
    "ON g.partition = c.gift_partition AND g.epoch = CAST(split_part(c.gift_event_id, '-', 2) AS bigint) "
    "AND g.n = CAST(split_part(c.gift_event_id, '-', 3) AS bigint) JOIN batches b ON b.id = g.batch_id, cut "
    "WHERE c.receiver = :creator AND c.status = 'applied' AND :hold_h > 0 "
    "AND date_trunc('hour', b.booked_at) >= cut.hour) AS revoked, "
    f"(SELECT coalesce(sum({TAKEN_BACK}), 0) FROM corrections c JOIN gifts g "
    "ON g.partition = c.gift_partition AND g.epoch = CAST(split_part(c.gift_event_id, '-', 2) AS bigint) "
    "AND g.n = CAST(split_part(c.gift_event_id, '-', 3) AS bigint) JOIN batches b ON b.id = g.batch_id, cut "
    "WHERE c.receiver = :creator AND c.status = 'approved' AND c.is_whole AND (:hold_h = 0 "
    "OR date_trunc('hour', b.booked_at) < cut.hour)) AS promised, "
    "(SELECT coalesce(sum(h.diamonds), 0) FROM gift_hold_backs h JOIN gifts g "
    "ON (g.partition, g.epoch, g.n) = (h.partition, h.epoch, h.n) JOIN batches b ON b.id = g.batch_id, cut "
    "WHERE h.creator = :creator AND :hold_h > 0 AND date_trunc('hour', b.booked_at) >= cut.hour) AS held_back"
)
# Diamonds from gifts of held senders that are old enough, with what sponsors have added: a revocation takes back both.
# What was revoked of them is gone anyway.
_HELD = (
    "SELECT coalesce(sum(g.diamonds + (SELECT coalesce(sum(m.diamonds), 0) FROM gift_matches m "
    "WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)) - (SELECT coalesce(sum(p.diamonds), 0) "
    "FROM gift_hold_backs p WHERE (p.partition, p.epoch, p.n) = (g.partition, g.epoch, g.n))), 0) AS diamonds "
    "FROM sender_holds h JOIN gifts g ON g.sender = h.sender JOIN batches b ON b.id = g.batch_id "
    "WHERE g.receiver = :creator AND (:hold_h = 0 "
    "OR date_trunc('hour', b.booked_at) < date_trunc('hour', now()) - make_interval(hours => :hold_h)) "
    "AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n "
    "AND c.status = 'applied')"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('payouts of ' || :creator, 0))")
_ACCOUNTS = (
    "SELECT (SELECT balance FROM accounts WHERE name = :own) AS own, "
    "(SELECT balance FROM accounts WHERE name = :held) AS held, "
    "(SELECT coalesce(sum(diamonds), 0) FROM payouts WHERE creator = :creator AND status = 'paid') AS paid"
)

# One statement, so all figures are of one moment. A revocation that is booked between two statements would be gone from
# what is pending but still be in the account, so that a payout could be asked for it.
_EARNINGS = text(f"SELECT * FROM ({_ACCOUNTS}) accounts, ({_PENDING}) young, ({_HELD}) senders")  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True)
class Earnings:
    """A creator's earnings in diamonds. `total` is neither paid out nor requested: pending and available, less debts.

    `in_payout` was requested. `next_at` is when the oldest pending hour becomes available.
    """

    total: int
    pending: int
    in_payout: int
    paid: int
    next_at: datetime | None

    @property
    def available(self) -> int:
        """Return the diamonds that can be requested now."""
        return max(self.total - self.pending, 0)


async def note(connection: AsyncConnection, batch: Batch) -> None:
    """Add booked gifts, and what others have added to them, to creators' hours, in the transaction that books them."""
    sums: dict[str, list[int]] = {}
    for _, _, gift in batch.gifts:
        row = sums.setdefault(gift.to, [0, 0, 0])
        row[0] += 1
        row[1] += gift.coins
        row[2] += gift.diamonds
    for creator, added in batch.added_diamonds.items():
        sums[creator][2] += added
    if sums:
        columns = zip(*sums.values(), strict=True)
        counts, coins, diamonds = (list(column) for column in columns)
        await connection.execute(_ADD, {"creators": list(sums), "gifts": counts, "coins": coins, "diamonds": diamonds})


async def lock_creator(connection: AsyncConnection, creator: str) -> None:
    """Serialize everything that may lower what `creator` has available.

    Bookings only raise it: what they take back for a revocation has been unavailable since the approval.
    """
    await connection.execute(_LOCK, {"creator": creator})


async def earnings_of(connection: AsyncConnection, creator: str, hold_h: int) -> Earnings:
    """Return the earnings of `creator` under a holding period of `hold_h` hours."""
    where = {"creator": creator, "hold_h": hold_h}
    names = {"own": diamonds_of(creator), "held": held_of(creator), "creator": creator}
    found = (await connection.execute(_EARNINGS, {**where, **names})).one()
    pending = int(found.earned) - int(found.revoked) - int(found.held_back) + int(found.promised) + int(found.diamonds)
    return Earnings(
        int(found.own or 0), pending, int(found.held or 0), int(found.paid), found.next_at if pending else None
    )
