"""Payouts as stored: each step in one transaction with its transfers, and a creator's one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import RequestError
from livegift.features.earnings.public import earnings_of, lock_creator
from livegift.features.payouts.errors import PAYOUT_NOT_POSSIBLE
from livegift.features.payouts.rules import CURRENCY, RETURNED, BankLine, Move, Payout, move, payable, transfers_of
from livegift.features.payouts.tables import payout_accounts, payout_batches, sender_holds
from livegift.features.payouts.tables import payouts as table
from livegift.ledger import accounts, audit_trail
from livegift.ledger.engine import Database, has_inserted


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """The terms of payouts: the least diamonds, the most per day (UTC), the rate and the holding period."""

    diamonds_min: int
    diamonds_day_max: int
    usd_micros_per_diamond: int
    hold_h: int


@dataclass(frozen=True, slots=True)
class StoredPayout:
    """A payout with the fields that only the store has."""

    payout: Payout
    currency: str
    why: str | None
    batch_id: str | None
    holder: str
    iban: str
    requested_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A creator's bank account."""

    holder: str
    iban: str


def _payout(row: Row[Any]) -> Payout:
    return Payout(row.id, row.creator, row.diamonds, row.amount, row.status)


def _stored(row: Row[Any]) -> StoredPayout:
    return StoredPayout(
        _payout(row), row.currency, row.why, row.batch_id, row.holder, row.iban, row.requested_at, row.ended_at
    )


async def request_payout(
    database: Database, payout_id: str, creator: str, diamonds: int, terms: PayoutTerms
) -> StoredPayout:
    """Hold `diamonds` (as many as make whole cents) and record the request; the same id again is the same payout.

    Raises RequestError('conflict' or 'payout_not_possible'), which says what would be possible.
    """
    async with database.begin() as connection:
        await lock_creator(connection, creator)
        row = (await connection.execute(select(table).where(table.c.id == payout_id))).one_or_none()
        whole, amount = payable(diamonds, terms.usd_micros_per_diamond)
        if row is not None:
            if (row.creator, row.diamonds) != (creator, whole):
                raise RequestError("conflict", f"Payout {payout_id} is there, with other content.")
            return _stored(row)
        account = await _account(connection, creator)
        await _check(connection, creator, whole, terms)
        payout = Payout(payout_id, creator, whole, amount)
        values = {
            "id": payout_id,
            "creator": creator,
            "diamonds": whole,
            "amount": amount,
            "currency": CURRENCY,
            "holder": account.holder,
            "iban": account.iban,
        }
        made = insert(table).values(values).returning(*table.c)
        stored = _stored((await connection.execute(made)).one())
        await _post(connection, payout)
    return stored


async def _account(connection: AsyncConnection, creator: str) -> BankAccount:
    query = select(payout_accounts).where(payout_accounts.c.creator == creator)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise RequestError(PAYOUT_NOT_POSSIBLE, "Say first where the money goes: PUT /v1/creator/payout-account.")
    return BankAccount(row.holder, row.iban)


async def _check(connection: AsyncConnection, creator: str, diamonds: int, terms: PayoutTerms) -> None:
    if diamonds < max(terms.diamonds_min, 1):
        raise RequestError(PAYOUT_NOT_POSSIBLE, f"Expected at least {terms.diamonds_min} diamonds, got {diamonds}.")
    earned = await earnings_of(connection, creator, terms.hold_h)
    if diamonds > earned.available:
        raise RequestError(
            PAYOUT_NOT_POSSIBLE,
            f"{diamonds} diamonds were asked for, {earned.available} are available, {earned.pending} pending.",
        )
    today = select(func.coalesce(func.sum(table.c.diamonds), 0)).where(
        table.c.creator == creator,
        table.c.requested_at >= func.date_trunc("day", func.now()),
        table.c.status.not_in(RETURNED),
    )
    left = terms.diamonds_day_max - int(await connection.scalar(today) or 0)
    if diamonds > left:
        raise RequestError(PAYOUT_NOT_POSSIBLE, f"At most {max(left, 0)} more diamonds can be asked for today (UTC).")


async def _post(connection: AsyncConnection, payout: Payout) -> None:
    reason, moves = transfers_of(payout)
    if moves:
        await accounts.post(connection, reason, payout.id, moves)


async def move_payout(
    database: Database,
    payout_id: str,
    by_move: Move,
    by: str,
    *,
    why: str | None = None,
    creator: str | None = None,
) -> StoredPayout:
    """Move a payout to its next status and post the transfers, once. With `creator`, only that creator's payout.

    Raises RequestError('not_found', 'conflict' or 'second_person_required').
    """
    async with database.begin() as connection:
        return await _move(connection, payout_id, by_move, by, why=why, creator=creator)


async def _move(
    connection: AsyncConnection, payout_id: str, by_move: Move, by: str, *, why: str | None, creator: str | None
) -> StoredPayout:
    row = (await connection.execute(select(table).where(table.c.id == payout_id))).one_or_none()
    if row is None or creator not in (None, row.creator):
        raise RequestError("not_found", f"There is no payout {payout_id}.")
    if by_move == "approve" and by == row.creator:
        raise RequestError("second_person_required")
    await lock_creator(connection, row.creator)
    row = (await connection.execute(select(table).where(table.c.id == payout_id).with_for_update())).one()
    before = _payout(row)
    after = move(before, by_move)
    if after == before:
        return _stored(row)
    values: dict[str, Any] = {"status": after.status}
    if why is not None:
        values["why"] = why
    if by_move in ("approve", "reject"):
        values |= {"decided_by": by, "decided_at": func.now()}
    if after.status in RETURNED or after.status == "paid":
        values["ended_at"] = func.now()
    change = update(table).where(table.c.id == payout_id).values(values).returning(*table.c)
    stored = _stored((await connection.execute(change)).one())
    await _post(connection, after)
    if by_move != "cancel":
        await audit_trail.note(
            connection, by, f"payout.{by_move}", f"payout:{payout_id}", {"why": why} if why else None
        )
    return stored


# --- Batches for the bank ---------------------------------------------------------------------------------------------


async def make_batch(database: Database, batch_id: str, by: str, limit: int) -> list[StoredPayout]:
    """Put the approved payouts (the oldest `limit`) into a batch that is sent; the same id again is the same batch."""
    async with database.begin() as connection:
        made = insert(payout_batches).values(id=batch_id, made_by=by).on_conflict_do_nothing()
        if await has_inserted(connection, made):
            # Who moves one of them waits for the row, and finds it sent.
            chosen = (
                select(table.c.id)
                .where(table.c.status == "approved")
                .order_by(table.c.requested_at, table.c.id)
                .limit(limit)
                .with_for_update()
            )
            ids = [row.id for row in await connection.execute(chosen)]
            change = (
                update(table).where(table.c.id.in_(ids)).values(status="sent", batch_id=batch_id, sent_at=func.now())
            )
            await connection.execute(change)
            await audit_trail.note(connection, by, "payout.batch", f"payout-batch:{batch_id}", {"payouts": len(ids)})
        return await _batch(connection, batch_id)


async def read_batch(database: Database, batch_id: str) -> list[StoredPayout]:
    """Return the payouts of a batch, in the order of their ids. Raises RequestError('not_found')."""
    async with database.begin() as connection:
        if (await connection.execute(select(payout_batches).where(payout_batches.c.id == batch_id))).first() is None:
            raise RequestError("not_found", f"There is no payout batch {batch_id}.")
        return await _batch(connection, batch_id)


async def _batch(connection: AsyncConnection, batch_id: str) -> list[StoredPayout]:
    rows = await connection.execute(select(table).where(table.c.batch_id == batch_id).order_by(table.c.id))
    return [_stored(row) for row in rows]


async def settle_batch(database: Database, batch_id: str, lines: Sequence[BankLine], by: str) -> list[str]:
    """Apply the bank's results, all or none; repeating it is harmless. Returns the ids that have no result yet.

    Raises RequestError('conflict') for a line that does not fit the batch, or that contradicts an earlier one.
    """
    async with database.begin() as connection:
        known = {found.payout.id for found in await _batch(connection, batch_id)}
        strangers = sorted({line.payout_id for line in lines} - known)
        if strangers:
            raise RequestError("conflict", f"Not in batch {batch_id}: {', '.join(strangers[:10])}.")
        for line in sorted(lines, key=lambda line: line.payout_id):
            by_move: Move = "pay" if line.paid else "fail"
            await _move(connection, line.payout_id, by_move, by, why=line.why, creator=None)
        return sorted(known - {line.payout_id for line in lines})


# --- Reading ----------------------------------------------------------------------------------------------------------


async def list_payouts(
    database: Database, creator: str | None, status: str | None, after: str, limit: int
) -> list[StoredPayout]:
    """Return payouts in the order of their ids, after `after`."""
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    if creator is not None:
        query = query.where(table.c.creator == creator)
    if status is not None:
        query = query.where(table.c.status == status)
    async with database.begin() as connection:
        return [_stored(row) for row in await connection.execute(query)]


async def read_payout(database: Database, payout_id: str) -> StoredPayout | None:
    """Return a payout, or None."""
    async with database.begin() as connection:
        row = (await connection.execute(select(table).where(table.c.id == payout_id))).one_or_none()
    return _stored(row) if row else None


async def write_account(database: Database, creator: str, account: BankAccount) -> None:
    """Set the bank account of `creator` for future payouts."""
    values = {"holder": account.holder, "iban": account.iban}
    statement = insert(payout_accounts).values(creator=creator, **values)
    change = {**values, "changed_at": func.now()}
    async with database.begin() as connection:
        await connection.execute(statement.on_conflict_do_update(index_elements=["creator"], set_=change))


async def read_account(database: Database, creator: str) -> BankAccount | None:
    """Return the bank account of `creator`."""
    query = select(payout_accounts).where(payout_accounts.c.creator == creator)
    async with database.begin() as connection:
        row = (await connection.execute(query)).one_or_none()
    return BankAccount(row.holder, row.iban) if row else None


async def hold_sender(database: Database, sender: str, why: str | None, by: str) -> None:
    """Hold the diamonds that creators have from `sender`, with a reason; None releases them."""
    async with database.begin() as connection:
        if why is None:
            await connection.execute(sender_holds.delete().where(sender_holds.c.sender == sender))
        else:
            held = insert(sender_holds).values(sender=sender, why=why, held_by=by)
            await connection.execute(held.on_conflict_do_update(index_elements=["sender"], set_={"why": why}))
        await audit_trail.note(
            connection, by, "sender.release" if why is None else "sender.hold", f"user:{sender}", {"why": why}
        )
