"""Quarantine: journal entries that can't be booked, with their bytes, so that all entries behind them can be.

When the entry, or the next entry of its wallet, shows whose wallet it changed, the amount is in `coins:suspense`: the
books balance, the wallet's chain has no gap, and what is missing is in one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import PartitionStoppedError
from livegift.contract.journal import Entry, GiftSent
from livegift.domain.entries import decode
from livegift.domain.journal import Poison, wallet_effect
from livegift.domain.partitions import Position
from livegift.ledger import tables
from livegift.ledger.engine import Database
from livegift.ledger.slices import JournalSlice
from livegift.runtime.bounds import QUARANTINE_BYTES_MAX, QUARANTINE_OPEN_MAX

_TABLE = tables.quarantine


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry in quarantine. `coins` is what the wallet of `user` got (negative: gave), None if unknown."""

    partition: int
    position: Position
    raw: bytes
    error: str
    at: datetime
    status: str
    user: str | None
    coins: int | None

    def decode(self) -> Entry:
        """Decode the bytes as this version does. Raises MsgspecError or UnicodeDecodeError."""
        return decode(self.raw, self.partition, self.position)


def _quarantined(row: Row[tuple[object, ...]]) -> Quarantined:
    position = Position(row.epoch, row.n)
    return Quarantined(row.partition, position, row.raw, row.error, row.at, row.status, row.user_id, row.coins)


async def put_aside(connection: AsyncConnection, slices: Sequence[JournalSlice]) -> None:
    """Write the poison entries of the slices into quarantine. Raises PartitionStoppedError when it is full."""
    rows = []
    for piece in slices:
        poison = [(position, entry) for position, entry in piece.entries if isinstance(entry, Poison)]
        if not poison:
            continue
        await _check_room(connection, piece.partition, len(poison))
        for position, entry in poison:
            effect = wallet_effect(entry)
            gift = entry.entry if isinstance(entry.entry, GiftSent) else None
            rows.append(
                {
                    "partition": piece.partition,
                    "epoch": position.epoch,
                    "n": position.n,
                    "raw": entry.raw[:QUARANTINE_BYTES_MAX],
                    "error": entry.error,
                    "user_id": effect.user if effect else None,
                    "wallet_seq": effect.seq if effect else None,
                    "balance": effect.balance if effect else None,
                    "coins": effect.delta if effect else None,
                    "room": gift.room if gift else None,
                    "diamonds": gift.diamonds if gift else None,
                }
            )
    if rows:
        await connection.execute(insert(_TABLE).values(rows))


async def _check_room(connection: AsyncConnection, partition: int, more: int) -> None:
    condition = (_TABLE.c.partition == partition) & (_TABLE.c.status == "open")
    there = await connection.scalar(select(func.count()).select_from(_TABLE).where(condition)) or 0
    if there + more > QUARANTINE_OPEN_MAX:
        raise PartitionStoppedError(
            partition, f"{there} entries are in quarantine and {more} more came, at most {QUARANTINE_OPEN_MAX} may be"
        )


async def attribute(
    connection: AsyncConnection,
    partition: int,
    before_n: int,
    user: str,
    seq: int,
    head: Row[tuple[object, ...]],
    delta: int,
) -> bool:
    """Attribute the last unread entry before `before_n` to `user`, whose chain shows that it gave `delta` coins.

    Returns False when there is no entry that it could have been.
    """
    unread = (
        select(_TABLE.c.epoch, _TABLE.c.n)
        .where(
            _TABLE.c.partition == partition,
            _TABLE.c.n < before_n,
            _TABLE.c.user_id.is_(None),
            _TABLE.c.status == "open",
        )
        .order_by(_TABLE.c.n.desc())
        .limit(1)
        .with_for_update()
    )
    row = (await connection.execute(unread)).first()
    if row is None:
        return False
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.partition == partition, _TABLE.c.epoch == row.epoch, _TABLE.c.n == row.n)
        .values(user_id=user, wallet_seq=seq, balance=head.balance + delta, coins=delta)
    )
    return True


async def list_quarantined(database: Database, *, everything: bool, limit: int) -> list[Quarantined]:
    """Return the open entries (or all), oldest first."""
    query = select(_TABLE).order_by(_TABLE.c.at, _TABLE.c.partition, _TABLE.c.n).limit(limit)
    if not everything:
        query = query.where(_TABLE.c.status == "open")
    async with database.begin() as connection:
        return [_quarantined(row) for row in await connection.execute(query)]


async def lock_quarantined(connection: AsyncConnection, partition: int, position: Position) -> Quarantined | None:
    """Return an entry, locked until the transaction ends."""
    condition = (_TABLE.c.partition == partition) & (_TABLE.c.epoch == position.epoch) & (_TABLE.c.n == position.n)
    row = (await connection.execute(select(_TABLE).where(condition).with_for_update())).first()
    return None if row is None else _quarantined(row)


async def close_quarantined(connection: AsyncConnection, entry: Quarantined, status: str, reason: str | None) -> None:
    """Record what became of an entry."""
    position = entry.position
    await connection.execute(
        update(_TABLE)
        .where(_TABLE.c.partition == entry.partition, _TABLE.c.epoch == position.epoch, _TABLE.c.n == position.n)
        .values(status=status, reason=reason, closed_at=func.now())
    )
