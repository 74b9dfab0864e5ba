"""Queries for the history of a gift, of a wallet and of a creator's diamonds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position
from livegift.features.receipts.bodies import SpendView, SpentCoins, SpentMoney
from livegift.features.receipts.rules import CoinLot

_GIFT = text(
    "SELECT g.*, g.count AS pieces, b.booked_at, (SELECT c.status FROM corrections c WHERE c.gift_event_id = :event_id "
    "AND c.status IN ('approved', 'applied')) AS revoked FROM gifts g JOIN batches b ON b.id = g.batch_id "
    "WHERE g.partition = :partition AND g.epoch = :epoch AND g.n = :n"
)
# What came into the wallet before the gift, oldest first. An order's bonus is a lot of its own, for nothing.
_LOTS = text(
    "SELECT t.amount AS coins, t.reason, t.ref, o.amount, o.currency FROM transfers t "
    "LEFT JOIN orders o ON t.reason IN ('order', 'restored') AND o.id = split_part(t.ref, ':', 2) "
    "WHERE t.user_id = :user AND t.wallet_seq < :seq AND t.credit = 'coins:user:' || :user ORDER BY t.wallet_seq"
)
_SPENT = text(
    "SELECT (SELECT coalesce(sum(coins), 0) FROM gifts WHERE sender = :user AND wallet_seq < :seq) "
    "+ (SELECT coalesce(sum(amount), 0) FROM transfers WHERE user_id = :user AND wallet_seq < :seq "
    "AND debit = 'coins:user:' || :user)"
)
# What the creator had earned before this gift, in the order of bookings.
_EARNED = text(
    "SELECT (SELECT coalesce(sum(diamonds), 0) FROM earned_hours WHERE creator = :creator "
    "AND hour < date_trunc('hour', CAST(:booked_at AS timestamptz))) "
    "+ (SELECT coalesce(sum(g.diamonds + coalesce((SELECT sum(m.diamonds) FROM gift_matches m "
    "WHERE (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)), 0)), 0) FROM batches b "
    "JOIN gifts g ON g.batch_id = b.id "
    "WHERE g.receiver = :creator AND b.booked_at >= date_trunc('hour', CAST(:booked_at AS timestamptz)) "
    "AND (b.booked_at, b.id, g.partition, g.epoch, g.n) < (:booked_at, :batch_id, :partition, :epoch, :n))"
)
_PAYOUTS = text(
    "SELECT id, diamonds, status, ended_at FROM payouts WHERE creator = :creator "
    "AND status NOT IN ('rejected', 'cancelled', 'failed') ORDER BY requested_at, id"
)
_HISTORY = text(
    "SELECT wallet_seq, ts_ms, 'gift' AS what, ref, -coins AS coins, balance, "
    "partition || '-' || epoch || '-' || n AS gift_event_id, room, receiver, gift_id, count AS pieces, "
    "NULL::bigint AS amount, NULL AS currency FROM gifts WHERE sender = :user AND wallet_seq < :before "
    "UNION ALL SELECT t.wallet_seq, t.ts_ms, t.reason, t.ref, "
    "CASE WHEN t.credit = 'coins:user:' || :user THEN t.amount ELSE -t.amount END, t.balance, "
    "NULL, NULL, NULL, NULL, NULL, o.amount, o.currency FROM transfers t "
    "LEFT JOIN orders o ON t.reason IN ('order', 'refund', 'chargeback') AND o.id = split_part(t.ref, ':', 2) "
    "WHERE t.user_id = :user AND t.wallet_seq < :before ORDER BY wallet_seq DESC LIMIT :limit"
)
_SPEND = text(
    "SELECT coalesce(sum(coins) FILTER (WHERE ts_ms >= :day_ms), 0) AS day, "
    "coalesce(sum(coins) FILTER (WHERE ts_ms >= :month_ms), 0) AS month, "
    "coalesce(sum(coins) FILTER (WHERE ts_ms >= :year_ms), 0) AS year, coalesce(sum(coins), 0) AS total "
    "FROM gifts WHERE sender = :user"
)
_MONEY = text(
    "SELECT currency, coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('day', now())), 0) AS day, "
    "coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('month', now())), 0) AS month, "
    "coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('year', now())), 0) AS year, sum(amount) AS total "
    "FROM orders WHERE user_id = :user AND status IN ('paid', 'credited') GROUP BY currency ORDER BY currency"
)


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
    row = (await connection.execute(_GIFT, where)).one_or_none()
    if row is None:
        return None
    sender = {"user": row.sender, "seq": row.wallet_seq}
    lots = tuple(
        CoinLot(lot.coins, lot.reason, lot.ref, lot.amount or 0, lot.currency)
        for lot in await connection.execute(_LOTS, sender)
    )
    spent = int(await connection.scalar(_SPENT, sender) or 0)
    before = {**where, "creator": row.receiver, "booked_at": row.booked_at, "batch_id": row.batch_id}
    earned = int(await connection.scalar(_EARNED, before) or 0)
    return BookedGift(
        event_id, row.sender, row.receiver, row.room, row.gift_id, row.pieces, row.coins, row.diamonds,
        row.anonymous, row.ts_ms, row.booked_at, row.batch_id, row.revoked is not None, lots, spent, earned,
    )  # fmt: skip


async def payout_of(connection: AsyncConnection, creator: str, earned: int) -> tuple[str, str, datetime | None] | None:
    """Return the payout (id, status, when paid) of the `earned`-th diamond, first in, first out; None: not yet."""
    total = 0
    for row in await connection.execute(_PAYOUTS, {"creator": creator}):
        total += row.diamonds
        if total >= earned:
            return row.id, row.status, row.ended_at
    return None


async def wallet_history(connection: AsyncConnection, user: str, before: int, limit: int) -> list[dict[str, Any]]:
    """Return the changes of a wallet before `seq`, newest first, with money where an order has it."""
    rows = await connection.execute(_HISTORY, {"user": user, "before": before, "limit": limit})
    return [{name: value for name, value in row._mapping.items() if value is not None} for row in rows]  # noqa: SLF001


async def spend_of(connection: AsyncConnection, user: str, since_ms: Mapping[str, int]) -> SpendView:
    """Return coins spent on gifts and money paid for coins: in total, and since the times in `since_ms`.

    These are the beginnings of this day, month and year.
    """
    coins = (await connection.execute(_SPEND, {"user": user, **since_ms})).one()
    money = [SpentMoney(row.currency, *_sums(row)) for row in await connection.execute(_MONEY, {"user": user})]
    return SpendView(SpentCoins(*_sums(coins)), money)


def _sums(row: Row[Any]) -> tuple[int, int, int, int]:
    return int(row.day), int(row.month), int(row.year), int(row.total)
