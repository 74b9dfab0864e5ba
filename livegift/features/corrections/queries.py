"""Corrections as stored: requested, decided, and applied with everything that they move when the coins are booked."""

from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Row,
    Select,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import RequestError
from livegift.contract.journal import GiftRevoked, WalletChanged
from livegift.domain.postings import Transfer
from livegift.features.corrections.rules import Correction, RevokedGift, Status, decide, transfers_of
from livegift.features.corrections.tables import corrections as table
from livegift.features.earnings.public import held_back_of, lock_creator
from livegift.ledger import accounts, audit_trail, tables
from livegift.ledger.engine import Database
from livegift.ledger.participants import Batch, Revocation
from livegift.ledger.revocations import gift_position, note

# The ref is '<reason>:<correction>'; a revocation undoes a gift.
REASONS = {"correction": "coins:corrected", "revocation": "coins:spent"}


def _correction(row: Row[Any]) -> Correction:
    gift = None
    if row.gift_event_id is not None:
        gift = RevokedGift(row.gift_event_id, row.gift_partition, row.room, row.receiver, row.diamonds)
    return Correction(row.id, row.user_id, row.coins, row.why, row.requested_by, gift, row.decided_by, row.status)


def _gift_query(event_id: str) -> Select[Any]:
    gifts = tables.gifts
    try:
        partition, at = gift_position(event_id)
    except ValueError:
        raise RequestError("not_found", "There is no such gift.") from None
    return select(gifts).where(gifts.c.partition == partition, gifts.c.epoch == at.epoch, gifts.c.n == at.n)


async def revocation_of(database: Database, correction_id: str, event_id: str, why: str, by: str) -> Correction:
    """Return the correction that revokes a booked gift. Raises RequestError('not_found')."""
    query = _gift_query(event_id)
    async with database.begin() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        # Without its place, which hints at its sender.
        raise RequestError("not_found", "No such gift is booked; one that was just sent takes a second.")
    gift = RevokedGift(event_id, row.partition, row.room, row.receiver, row.diamonds)
    return Correction(correction_id, row.sender, row.coins, why, by, gift)


async def is_younger(database: Database, event_id: str, age_s: int) -> bool:
    """Return whether the gift was sent within the last `age_s` seconds, by PostgreSQL's clock."""
    now_ms = func.extract("epoch", func.clock_timestamp()) * 1000
    query = _gift_query(event_id).where(tables.gifts.c.ts_ms >= now_ms - age_s * 1000)
    async with database.begin() as connection:
        return (await connection.execute(query)).one_or_none() is not None


async def request(database: Database, wanted: Correction) -> Correction:
    """Record a requested correction; repeating the same request changes nothing.

    Raises RequestError('conflict') when its id or its gift already has a different one.
    """
    async with database.begin() as connection:
        if wanted.gift is not None:
            await lock_creator(connection, wanted.gift.receiver)
            wanted = replace(wanted, gift=await _less_held_back(connection, wanted.gift))
        return await _request(connection, wanted)


async def _less_held_back(connection: AsyncConnection, gift: RevokedGift) -> RevokedGift:
    """Return the gift with the diamonds that its creator still has from it.

    From the request on, none of them are clawed back.
    """
    partition, at = gift_position(gift.id)
    return gift._replace(diamonds=gift.diamonds - await held_back_of(connection, partition, at.epoch, at.n))


def _values(wanted: Correction) -> dict[str, object]:
    gift = wanted.gift
    return {
        "id": wanted.id,
        "user_id": wanted.user,
        "coins": wanted.coins,
        "why": wanted.why,
        "requested_by": wanted.requested_by,
        "gift_event_id": gift and gift.id,
        "gift_partition": gift and gift.partition,
        "room": gift and gift.room,
        "receiver": gift and gift.receiver,
        "diamonds": gift and gift.diamonds,
    }


async def _request(connection: AsyncConnection, wanted: Correction) -> Correction:
    gift = wanted.gift
    made = insert(table).values(_values(wanted)).on_conflict_do_nothing().returning(table.c.id)
    if (await connection.execute(made)).first() is not None:
        details = {"coins": wanted.coins, "why": wanted.why, "gift": gift and gift.id, "correction": wanted.id}
        await audit_trail.note(connection, wanted.requested_by, "correction.request", f"user:{wanted.user}", details)
    row = (await connection.execute(select(table).where(table.c.id == wanted.id))).one_or_none()
    if row is None or not wanted.same_as(_correction(row)):
        raise RequestError("conflict", f"Correction {wanted.id} or one of the same gift is there, with other content.")
    return _correction(row)


async def record_decision(database: Database, correction_id: str, by: str, *, approve: bool) -> Correction:
    """Decide a correction, once. Raises RequestError: see `rules.decide`."""
    async with database.begin() as connection:
        query = select(table).where(table.c.id == correction_id)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise RequestError("not_found", f"There is no correction {correction_id}.")
        if approve and row.receiver is not None:
            # Before the row, as in `request`: a payout is asked for before or after it.
            await lock_creator(connection, row.receiver)
        before = _correction((await connection.execute(query.with_for_update())).one())
        after = decide(before, by, approve=approve)
        if after is before:
            return before
        change = update(table).where(table.c.id == correction_id)
        # The time behind the locks, not the transaction's: the audit asks which payouts came before.
        values = {"status": after.status, "decided_by": after.decided_by, "decided_at": func.clock_timestamp()}
        await connection.execute(change.values(values))
        act = "correction.approve" if approve else "correction.reject"
        await audit_trail.note(connection, by, act, f"user:{after.user}", {"correction": after.id})
    return after


async def mark_refused(database: Database, correction: Correction) -> Correction:
    """Mark a correction as refused because the wallet lacks the coins, unless another try has found them meanwhile."""
    change = update(table).where(table.c.id == correction.id, table.c.status == "approved")
    async with database.begin() as connection:
        await connection.execute(change.values(status="refused"))
        return _correction((await connection.execute(select(table).where(table.c.id == correction.id))).one())


async def revoked_gift(database: Database, revocation: Correction) -> GiftRevoked | None:
    """Return the gift of a revocation as the journal has to name it; None if the room keeps it (see the table)."""
    if revocation.gift is None:
        return None
    whole = select(table.c.id).where(table.c.id == revocation.id, table.c.is_whole)
    async with database.begin() as connection:
        if await connection.scalar(whole) is None:
            return None
        row = (await connection.execute(_gift_query(revocation.gift.id))).one()
    return GiftRevoked(
        revocation.gift.id, row.room, row.receiver, row.gift_id, row.combo_id, row._mapping["count"],  # noqa: SLF001
        row.coins, row.diamonds, row.anonymous,
    )  # fmt: skip


async def mark_booked(connection: AsyncConnection, batch: Batch) -> None:
    """Mark corrections as applied, each once, in the transaction that books them.

    The revocations among them are added to `batch.revoked`; `post` posts the rest of their transfers. A correction that
    a ledger which was set back no longer knows is written again from the journal.
    """
    entries = batch.changes_for(REASONS)
    ids = {entry.ref.partition(":")[2] for _, _, entry in entries}
    if not ids:
        return
    await note(connection, entries)
    query = select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update()
    rows = {row.id: row for row in await connection.execute(query)}
    for _, _, entry in entries:
        if entry.revokes is not None and entry.ref.partition(":")[2] not in rows:
            await _write_again(connection, entry, entry.revokes)
    rows = {row.id: row for row in await connection.execute(query)}
    # What is booked has happened, whatever somebody has noted before.
    await connection.execute(update(table).where(table.c.id.in_(ids)).values(status="applied"))
    revoking = {entry.ref.partition(":")[2] for _, _, entry in entries if entry.revokes is not None}
    batch.revoked += [
        Revocation(row.id, row.gift_event_id, row.receiver)
        for row in rows.values()
        if row.id in revoking and row.status != "applied" and row.gift_event_id is not None
    ]


async def _write_again(connection: AsyncConnection, entry: WalletChanged, gift: GiftRevoked) -> None:
    row = (await connection.execute(_gift_query(gift.event_id))).one_or_none()
    if row is None:
        return  # in quarantine: the audit names the entry
    whole = RevokedGift(gift.event_id, row.partition, row.room, row.receiver, row.diamonds)
    known = await _less_held_back(connection, whole)
    again = Correction(entry.ref.partition(":")[2], entry.user, entry.delta, "as the journal has it", "journal", known)
    values = {**_values(again), "decided_by": "journal", "decided_at": func.now(), "status": "approved"}
    await connection.execute(insert(table).values(values).on_conflict_do_nothing())


async def post(connection: AsyncConnection, batch: Batch) -> None:
    """Post everything that the batch's revocations take back: of the gift itself, and what others had added to it."""
    ids = [revoked.id for revoked in batch.revoked]
    if not ids:
        return
    for row in (await connection.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.id))).all():
        revocation = _correction(row)
        moves = _moves(revocation, batch)
        await accounts.write(connection, revocation.reason, revocation.id, moves)
        batch.transfers += moves


def _moves(revocation: Correction, batch: Batch) -> list[Transfer]:
    return [*transfers_of(revocation), *batch.taken_back.get(revocation.id, ())]


async def unapplied(database: Database, older_than_s: float, younger_than_s: float, limit: int) -> list[Correction]:
    """Return approved corrections whose coins are not booked although some time has passed, oldest first.

    Those older than refs are remembered are left out: see `pending_grants`.
    """
    query = (
        select(table)
        .where(
            table.c.status == "approved",
            table.c.decided_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s),
            table.c.decided_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, younger_than_s),
        )
        .order_by(table.c.decided_at)
        .limit(limit)
    )
    async with database.begin() as connection:
        return [_correction(row) for row in (await connection.execute(query)).all()]


async def read_corrections(database: Database, status: Status | None, after: str, limit: int) -> list[Correction]:
    """Return corrections in the order of their ids, after `after`; of one status or of all."""
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    if status is not None:
        query = query.where(table.c.status == status)
    async with database.begin() as connection:
        return [_correction(row) for row in (await connection.execute(query)).all()]
