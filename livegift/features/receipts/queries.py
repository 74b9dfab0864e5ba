"""Queries for the history of a gift, of a wallet and of a creator's diamonds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position
from livegift.features.receipts.bodies import SpendView, SpentCoins, SpentMoney
from livegift.features.receipts.rules import CoinLot
from livegift.ledger.statements import Statements


class _Sql(Statements, file="queries.sql"):
    """The statements of this module."""

    gift: TextClause
    lots: TextClause
    spent: TextClause
    earned: TextClause
    payouts: TextClause
    history: TextClause
    spend: TextClause
    money: TextClause


@dataclass(frozen=True, slots=True)
class BookedGift:
    """A gift with its history before and after. Diamonds are counted in the order of bookings."""

    event_id: str
    sender: str
    receiver: str
    room: str
    gift_id: str
    count: int
    coins: int
    diamonds: int
    anonymous: bool
    ts_ms: int
    booked_at: datetime
    batch_id: int
    is_revoked: bool
    lots: tuple[CoinLot, ...]
    spent_before: int
    earned_before: int


async def booked_gift(connection: AsyncConnection, event_id: str) -> BookedGift | None:
    """Return the gift of an event, None when none is booked."""
    partition, _, position = event_id.partition("-")
    try:
        at, number = Position.parse(position), int(partition)
    except ValueError:
        return None
    where: dict[str, Any] = {"event_id": event_id, "partition": number, "epoch": at.epoch, "n": at.n}
    row = (await connection.execute(_Sql.gift, where)).one_or_none()
    if row is None:
        return None
    sender = {"user": row.sender, "seq": row.wallet_seq}
    lots = tuple(
        CoinLot(lot.coins, lot.reason, lot.ref, lot.amount or 0, lot.currency)
        for lot in await connection.execute(_Sql.lots, sender)
    )
    spent = int(await connection.scalar(_Sql.spent, sender) or 0)
    before = {**where, "creator": row.receiver, "booked_at": row.booked_at, "batch_id": row.batch_id}
    earned = int(await connection.scalar(_Sql.earned, before) or 0)
    return BookedGift(
        event_id, row.sender, row.receiver, row.room, row.gift_id, row.pieces, row.coins, row.diamonds,
        row.anonymous, row.ts_ms, row.booked_at, row.batch_id, row.revoked is not None, lots, spent, earned,
    )  # fmt: skip


async def payout_of(connection: AsyncConnection, creator: str, earned: int) -> tuple[str, str, datetime | None] | None:
    """Return the payout (id, status, when paid) of the `earned`-th diamond, first in, first out; None: not yet."""
    total = 0
    for row in await connection.execute(_Sql.payouts, {"creator": creator}):
        total += row.diamonds
        if total >= earned:
            return row.id, row.status, row.ended_at
    return None


async def wallet_history(connection: AsyncConnection, user: str, before: int, limit: int) -> list[dict[str, Any]]:
    """Return the changes of a wallet before `seq`, newest first, with money where an order has it."""
    rows = await connection.execute(_Sql.history, {"user": user, "before": before, "limit": limit})
    return [{name: value for name, value in row._mapping.items() if value is not None} for row in rows]  # noqa: SLF001


async def spend_of(connection: AsyncConnection, user: str, since_ms: Mapping[str, int]) -> SpendView:
    """Return coins spent on gifts and money paid for coins: in total, and since the times in `since_ms`.

    These are the beginnings of this day, month and year.
    """
    coins = (await connection.execute(_Sql.spend, {"user": user, **since_ms})).one()
    money = [SpentMoney(row.currency, *_sums(row)) for row in await connection.execute(_Sql.money, {"user": user})]
    return SpendView(SpentCoins(*_sums(coins)), money)


def _sums(row: Row[Any]) -> tuple[int, int, int, int]:
    return int(row.day), int(row.month), int(row.year), int(row.total)
