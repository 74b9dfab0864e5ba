"""The audit's checks of orders in the ledger: entries, money, and the reasons for returns."""

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.ledger.statements import Statements

_IDS_MAX = 5  # named in one sentence


class _Sql(Statements, file="checks.sql"):
    """The statements of this module."""

    entries: TextClause
    money: TextClause
    reinstated: TextClause
    states: TextClause
    causes: TextClause
    gone: TextClause
    overdrafts: TextClause
    used_too_often: TextClause
    wrong_offers: TextClause


async def wrong_orders(connection: AsyncConnection, ref_ttl_s: int, examples: int) -> tuple[int, list[str]]:
    """Return the number of orders, and those that contradict their status or whose money went back without a reason."""
    limit = {"examples": examples}
    wrong = [
        f"order {row.id}: {row.entries or 0} entries '{row.what}' of {row.coins or 0} coins in all, "
        f"expected {_expected(row.expected, row.expected_entries)}"
        for row in await connection.execute(_Sql.entries, limit)
    ]
    wrong += [
        f"order {row.id}: {row.amount or 0} posted as '{row.reason}', expected {row.expected or 0}"
        for row in await connection.execute(_Sql.money, limit)
    ]
    wrong += [
        f"order {row.id}: its money came again {row.posted} times in the books, {row.heard} times by the provider"
        for row in await connection.execute(_Sql.reinstated, limit)
    ]
    wrong += [
        f"order {row.id}: {row.status} with {row.credited_coins} of {row.total} coins booked, {row.taken} taken back"
        for row in await connection.execute(_Sql.states, {**limit, "ttl_s": ref_ttl_s})
    ]
    wrong += [
        f"order {row.id}: its money was given back by this server, but {_cause(row.by_operator, row.balance)}"
        for row in await connection.execute(_Sql.causes, limit)
    ]
    wrong += [
        f"order {row.id}: {row.status}, but event {row.event_id} ({row.kind}) says that its money is gone"
        for row in await connection.execute(_Sql.gone, limit)
    ]
    wrong += [
        f"promotion {row.promotion_id}: user {row.user_id} has had it {row.uses} times, "
        f"at most {row.uses_max} were allowed: orders {', '.join(row.ids[:_IDS_MAX])}"
        for row in await connection.execute(_Sql.used_too_often, limit)
    ]
    wrong += [
        f"order {row.id}: {_offer(row.promotion_granted)} promotion {row.promotion_id}, it gave {row.coins} coins and "
        f"{row.bonus_coins} on top for {row.amount} of {row.full_amount}"
        for row in await connection.execute(_Sql.wrong_offers, limit)
    ]
    return await connection.scalar(text("SELECT count(*) FROM orders")) or 0, wrong


def _expected(coins: int | None, entries: int | None) -> str:
    if coins is None:
        return "none"
    return f"one of {coins}" if entries == 1 else f"{entries} of {coins} in all"


def _offer(has_it: bool | None) -> str:  # noqa: FBT001 - a row's column
    if has_it is None:
        return "paid without deciding about"
    return "paid with" if has_it else "paid without"


def _cause(by_operator: bool, balance: int | None) -> str:  # noqa: FBT001 - a row's column
    if by_operator:
        return "no operator has asked for that, and no coins were taken first"
    if balance is None:
        return "no coins were taken first"
    if balance < 0:
        return f"its buyer did not have the coins: {balance} were left"
    return "its coins were taken only after that"


async def overdrafts(connection: AsyncConnection, examples: int) -> list[str]:
    """Return entries that took coins which the wallet did not have, without a chargeback or an operator's refund."""
    return [
        f"wallet {row.user_id}: entry {row.wallet_seq} ({row.what}) left {row.balance} coins"
        for row in await connection.execute(_Sql.overdrafts, {"examples": examples})
    ]
