"""Creators' earnings, and how much of them can be paid out now."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import diamonds_of, held_of
from livegift.ledger.participants import Batch
from livegift.ledger.statements import Statements


class _Sql(Statements, file="queries.sql"):
    """The statements of this module."""

    add_to_hours: TextClause
    lock_creator: TextClause
    taken_back: str
    earnings: TextClause


TAKEN_BACK = _Sql.taken_back


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
        await connection.execute(
            _Sql.add_to_hours, {"creators": list(sums), "gifts": counts, "coins": coins, "diamonds": diamonds}
        )


async def lock_creator(connection: AsyncConnection, creator: str) -> None:
    """Serialize everything that may lower what `creator` has available.

    Bookings only raise it: what they take back for a revocation has been unavailable since the approval.
    """
    await connection.execute(_Sql.lock_creator, {"creator": creator})


async def earnings_of(connection: AsyncConnection, creator: str, hold_h: int) -> Earnings:
    """Return the earnings of `creator` under a holding period of `hold_h` hours."""
    where = {"creator": creator, "hold_h": hold_h}
    names = {"own": diamonds_of(creator), "held": held_of(creator), "creator": creator}
    found = (await connection.execute(_Sql.earnings, {**where, **names})).one()
    pending = int(found.earned) - int(found.revoked) - int(found.held_back) + int(found.promised) + int(found.diamonds)
    return Earnings(
        int(found.own or 0), pending, int(found.held or 0), int(found.paid), found.next_at if pending else None
    )
