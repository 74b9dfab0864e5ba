"""Clawbacks of diamonds whose gifts were paid with money that went back: decision 016."""

from dataclasses import dataclass

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import diamonds_of
from livegift.features.earnings.queries import lock_creator
from livegift.features.earnings.rules import Clawback, FreshGift, RefundPolicy, clawbacks_of, transfers_of
from livegift.features.earnings.tables import gift_hold_backs
from livegift.ledger import accounts
from livegift.runtime.bounds import HELD_BACK_GIFTS_MAX

# What the order's coins may have paid for: the sender's gifts after they were credited, as long as they are pending.
# Gifts that are revoked, or about to be, give everything back that way.
_FRESH = text(
    "SELECT g.partition, g.epoch, g.n, g.receiver, g.coins - coalesce(h.coins, 0) AS coins, "
    "g.diamonds - coalesce(h.diamonds, 0) AS diamonds FROM gifts g JOIN batches b ON b.id = g.batch_id "
    "LEFT JOIN LATERAL (SELECT sum(coins) AS coins, sum(diamonds) AS diamonds FROM gift_hold_backs p "
    "WHERE (p.partition, p.epoch, p.n) = (g.partition, g.epoch, g.n)) h ON true "
    "WHERE g.sender = :sender AND g.wallet_seq > :after_seq "
    "AND date_trunc('hour', b.booked_at) >= date_trunc('hour', now()) - make_interval(hours => :hold_h) "
    "AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.status <> 'rejected' "
    "AND c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n) "
    "ORDER BY g.wallet_seq DESC LIMIT :gifts_max"
)
_CREDITED = text(
    "SELECT min(wallet_seq) FROM transfers WHERE user_id = :sender AND ref = ANY(CAST(:refs AS text[])) "
    "AND reason = ANY(CAST(:reasons AS text[]))"
)
# With the coins of corrections that are on their way: no diamonds are held back for a gift that is being undone.
_SPENDABLE = text(
    "SELECT greatest(balance + (SELECT coalesce(sum(coins), 0) FROM corrections c "
    "WHERE c.user_id = :sender AND c.status = 'approved'), 0) FROM wallet_heads WHERE user_id = :sender"
)
_OF_GIFT = text(
    "SELECT coalesce(sum(diamonds), 0) FROM gift_hold_backs WHERE partition = :partition AND epoch = :epoch AND n = :n"
)
_WRONG = text(
    "WITH noted AS (SELECT creator, order_id, sum(diamonds) AS diamonds FROM gift_hold_backs GROUP BY 1, 2), "
    "posted AS (SELECT substring(debit FROM 15) AS creator, ref AS order_id, sum(amount) AS diamonds FROM postings "
    "WHERE reason = 'hold_back' GROUP BY 1, 2) "
    "SELECT order_id, creator, n.diamonds AS noted, p.diamonds AS posted FROM noted n "
    "FULL JOIN posted p USING (order_id, creator) WHERE n.diamonds IS DISTINCT FROM p.diamonds "
    "ORDER BY 1, 2 LIMIT :examples"
)


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """The terms of refunds: whether creators lose pending diamonds with the money, and the holding period in hours."""

    policy: RefundPolicy
    hold_h: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Coins whose money went back: of which order and whose, with the refs and reasons of their credits."""

    order_id: str
    user: str
    coins: int
    refs: tuple[str, ...]
    reasons: tuple[str, ...]


async def claw_back(connection: AsyncConnection, back: GivenBack, terms: RefundTerms) -> None:
    """Post the clawbacks for a reversal, in the transaction that reverses the order.

    Only for coins that the wallet can't give back any more, according to the ledger.
    """
    if terms.policy == "creator_keeps" or not terms.hold_h:
        return
    sender = {"sender": back.user}
    credited = await connection.scalar(_CREDITED, sender | {"refs": list(back.refs), "reasons": list(back.reasons)})
    if credited is None:
        return
    missing = back.coins - min(back.coins, int(await connection.scalar(_SPENDABLE, sender) or 0))
    found = sender | {"after_seq": credited, "hold_h": terms.hold_h, "gifts_max": HELD_BACK_GIFTS_MAX}
    # Whoever may lower what a creator has comes one after the other; then what is there is read again.
    for creator in sorted({row.receiver for row in await connection.execute(_FRESH, found)}):
        await lock_creator(connection, creator)
    rows = (await connection.execute(_FRESH, found)).all()
    has = await accounts.balances(connection, {diamonds_of(row.receiver) for row in rows})
    gifts = [FreshGift((r.partition, r.epoch, r.n), r.receiver, int(r.coins), int(r.diamonds)) for r in rows]
    parts = clawbacks_of(missing, gifts, {g.creator: has.get(diamonds_of(g.creator), 0) for g in gifts})
    if parts:
        await accounts.post(connection, "hold_back", back.order_id, transfers_of(parts))
        await connection.execute(insert(gift_hold_backs), [_row(back.order_id, part) for part in parts])


def _row(order_id: str, part: Clawback) -> dict[str, object]:
    partition, epoch, n = part.event
    return {
        "partition": partition,
        "epoch": epoch,
        "n": n,
        "order_id": order_id,
        "creator": part.creator,
        "coins": part.coins,
        "diamonds": part.diamonds,
    }


async def held_back_of(connection: AsyncConnection, partition: int, epoch: int, n: int) -> int:
    """Return the diamonds of one gift that were clawed back."""
    return int(await connection.scalar(_OF_GIFT, {"partition": partition, "epoch": epoch, "n": n}) or 0)


async def wrong_clawbacks(connection: AsyncConnection, examples: int) -> list[str]:
    """Return orders whose transfers differ from what is recorded for their gifts, for the audit."""
    return [
        f"order {row.order_id}: {row.posted or 0} diamonds of {row.creator} are held back, noted are {row.noted or 0}"
        for row in await connection.execute(_WRONG, {"examples": examples})
    ]
