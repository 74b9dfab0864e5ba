"""Clawbacks of diamonds whose gifts were paid with money that went back: decision 016."""

from dataclasses import dataclass

from sqlalchemy import TextClause, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import diamonds_of
from livegift.features.earnings.queries import lock_creator
from livegift.features.earnings.rules import Clawback, FreshGift, RefundPolicy, clawbacks_of, transfers_of
from livegift.features.earnings.tables import gift_hold_backs
from livegift.ledger import accounts
from livegift.ledger.statements import Statements
from livegift.runtime.bounds import HELD_BACK_GIFTS_MAX


class _Sql(Statements, file="clawbacks.sql"):
    """The statements of this module."""

    fresh: TextClause
    credited: TextClause
    spendable: TextClause
    of_gift: TextClause
    wrong: TextClause


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
    credited = await connection.scalar(_Sql.credited, sender | {"refs": list(back.refs), "reasons": list(back.reasons)})
    if credited is None:
        return
    missing = back.coins - min(back.coins, int(await connection.scalar(_Sql.spendable, sender) or 0))
    found = sender | {"after_seq": credited, "hold_h": terms.hold_h, "gifts_max": HELD_BACK_GIFTS_MAX}
    # Whoever may lower what a creator has comes one after the other; then what is there is read again.
    for creator in sorted({row.receiver for row in await connection.execute(_Sql.fresh, found)}):
        await lock_creator(connection, creator)
    rows = (await connection.execute(_Sql.fresh, found)).all()
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
    return int(await connection.scalar(_Sql.of_gift, {"partition": partition, "epoch": epoch, "n": n}) or 0)


async def wrong_clawbacks(connection: AsyncConnection, examples: int) -> list[str]:
    """Return orders whose transfers differ from what is recorded for their gifts, for the audit."""
    return [
        f"order {row.order_id}: {row.posted or 0} diamonds are held back from {row.account}, noted are {row.noted or 0}"
        for row in await connection.execute(_Sql.wrong, {"examples": examples})
    ]
