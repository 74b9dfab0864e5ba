"""Corrections as stored: asked for, decided with the diamonds in one transaction, applied when the coins are booked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Row,
    Select,
    Table,
    Text,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.corrections import Correction, RevokedGift, Status, decide, legs
from livegift.domain.journal import WalletChanged
from livegift.domain.partitions import Position
from livegift.errors import RequestError
from livegift.ledger import accounts, acts, earnings, tables
from livegift.ledger.engine import Database
from livegift.ledger.hold_backs import held_back_of

# The reasons of wallets' changes that belong to corrections; the ref is '<reason>:<correction>'.
REASONS = frozenset({"correction", "revocation"})

# A permanent row per correction: the guard against a second one. The last five columns are of a gift that it revokes.
table = Table(
    "corrections",
    tables.metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("coins", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=tables.NOW),
    Column("decided_by", Text, nullable=True),
    Column("decided_at", DateTime(timezone=True), nullable=True),
    Column("status", Text, nullable=False, server_default="requested"),
    Column("gift_event_id", Text, nullable=True),
    Column("gift_partition", Integer, nullable=True),
    Column("room", Text, nullable=True),
    Column("receiver", Text, nullable=True),
    Column("diamonds", BigInteger, nullable=True),
    CheckConstraint("status IN ('requested', 'approved', 'applied', 'rejected', 'refused')", name="status"),
    CheckConstraint("coins <> 0", name="coins"),
    CheckConstraint("num_nulls(gift_event_id, gift_partition, room, receiver, diamonds) IN (0, 5)", name="gift"),
    Index("ix_corrections_gift", "gift_event_id", unique=True, postgresql_where=text("status <> 'rejected'")),
    Index("ix_corrections_approved", "decided_at", postgresql_where=text("status = 'approved'")),
)


def _correction(row: Row[Any]) -> Correction:
    gift = None
    if row.gift_event_id is not None:
        gift = RevokedGift(row.gift_event_id, row.gift_partition, row.room, row.receiver, row.diamonds)
    return Correction(row.id, row.user_id, row.coins, row.why, row.requested_by, gift, row.decided_by, row.status)


def _gift_query(event_id: str) -> Select[Any]:
    partition, _, position = event_id.partition("-")
    gifts = tables.gifts
    try:
        at = Position.parse(position)
        return select(gifts).where(gifts.c.partition == int(partition), gifts.c.epoch == at.epoch, gifts.c.n == at.n)
    except ValueError:
        raise RequestError("not_found", "There is no such gift.") from None


async def revocation_of(database: Database, correction_id: str, event_id: str, why: str, by: str) -> Correction:
    """What undoes a gift, as it is booked. Raises RequestError('not_found')."""
    query = _gift_query(event_id)
    async with database.begin() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        # Not its place, which tells whose it may be.
        raise RequestError("not_found", "No such gift is booked; one that was just sent takes a second.")
    gift = RevokedGift(event_id, row.partition, row.room, row.receiver, row.diamonds)
    return Correction(correction_id, row.sender, row.coins, why, by, gift)


async def is_younger(database: Database, event_id: str, age_s: int) -> bool:
    """Whether the gift was sent within the last `age_s`, by PostgreSQL's clock."""
    now_ms = func.extract("epoch", func.clock_timestamp()) * 1000
    query = _gift_query(event_id).where(tables.gifts.c.ts_ms >= now_ms - age_s * 1000)
    async with database.begin() as connection:
        return (await connection.execute(query)).one_or_none() is not None


async def request(database: Database, wanted: Correction) -> Correction:
    """Note what is asked for; the same again is the same.

    Raises RequestError('conflict') for an id or a gift that has another one.
    """
    async with database.begin() as connection:
        if wanted.gift is not None:
            wanted = replace(wanted, gift=await _less_held_back(connection, wanted.gift))
        return await _request(connection, wanted)


async def _less_held_back(connection: AsyncConnection, gift: RevokedGift) -> RevokedGift:
    """The gift with the diamonds that its creator still has of it; nothing is held back of it from now on."""
    await earnings.lock_creator(connection, gift.receiver)
    _, epoch, n = (int(part) for part in gift.id.split("-"))
    return gift._replace(diamonds=gift.diamonds - await held_back_of(connection, gift.partition, epoch, n))


async def _request(connection: AsyncConnection, wanted: Correction) -> Correction:
    gift = wanted.gift
    values = {
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
    made = insert(table).values(values).on_conflict_do_nothing().returning(table.c.id)
    if (await connection.execute(made)).first() is not None:
        details = {"coins": wanted.coins, "why": wanted.why, "gift": gift and gift.id, "correction": wanted.id}
        await acts.note(connection, wanted.requested_by, "correction.request", f"user:{wanted.user}", details)
    row = (await connection.execute(select(table).where(table.c.id == wanted.id))).one_or_none()
    if row is None or not wanted.same_as(_correction(row)):
        raise RequestError("conflict", f"Correction {wanted.id} or one of the same gift is there, with other content.")
    return _correction(row)


async def settle_decision(database: Database, correction_id: str, by: str, *, approve: bool) -> Correction:
    """Decide in one transaction with the diamonds. Raises RequestError: see `domain.corrections.decide`."""
    async with database.begin() as connection:
        query = select(table).where(table.c.id == correction_id)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise RequestError("not_found", f"There is no correction {correction_id}.")
        if approve and row.receiver is not None:
            # Before the row, as in `request`.
            await earnings.lock_creator(connection, row.receiver)
        before = _correction((await connection.execute(query.with_for_update())).one())
        after = decide(before, by, approve=approve)
        if after is before:
            return before
        change = update(table).where(table.c.id == correction_id)
        await connection.execute(change.values(status=after.status, decided_by=after.decided_by, decided_at=func.now()))
        if approve:
            await accounts.post(connection, after.reason, after.id, legs(after))
        act = "correction.approve" if approve else "correction.reject"
        await acts.note(connection, by, act, f"user:{after.user}", {"correction": after.id})
    return after


async def mark_refused(database: Database, correction: Correction) -> Correction:
    """The wallet did not have the coins; unless another try has found them meanwhile."""
    change = update(table).where(table.c.id == correction.id, table.c.status == "approved")
    async with database.begin() as connection:
        await connection.execute(change.values(status="refused"))
        return _correction((await connection.execute(select(table).where(table.c.id == correction.id))).one())


async def mark_booked(connection: AsyncConnection, entries: Sequence[WalletChanged]) -> None:
    """Note in the transaction that books them that corrections are applied."""
    ids = {entry.ref.partition(":")[2] for entry in entries}
    if not ids:
        return
    query = select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update()
    for row in (await connection.execute(query)).all():
        if row.status == "requested":  # the ledger was set back to before the decision
            correction = _correction(row)
            await accounts.post(connection, correction.reason, correction.id, legs(correction))
    # What is booked has happened, whatever somebody has noted before.
    await connection.execute(update(table).where(table.c.id.in_(ids)).values(status="applied"))


async def unapplied(database: Database, older_than_s: float, younger_than_s: float, limit: int) -> list[Correction]:
    """Approved corrections whose coins are not booked although some time has passed, oldest first.

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
    """Corrections in the order of their ids, from behind `after`; of one status or of all."""
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    if status is not None:
        query = query.where(table.c.status == status)
    async with database.begin() as connection:
        return [_correction(row) for row in (await connection.execute(query)).all()]


_ENTRIES = text(
    "WITH booked AS (SELECT substring(ref FROM length(reason) + 2) AS id, user_id, count(*) AS entries, "
    "sum(CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END) AS coins FROM transfers "
    "WHERE reason IN ('correction', 'revocation') GROUP BY 1, 2), "
    "expected AS (SELECT id, user_id, coins FROM corrections WHERE status = 'applied') "
    "SELECT coalesce(e.id, b.id) AS id, e.coins AS expected, b.coins, b.entries "
    "FROM expected e FULL JOIN booked b USING (id, user_id) "
    "WHERE e.coins IS DISTINCT FROM b.coins OR b.entries <> 1 ORDER BY 1 LIMIT :examples"
)
_POSTED = text(
    "WITH posted AS (SELECT ref AS id, sum(amount) AS diamonds FROM postings WHERE reason = 'revocation' GROUP BY 1), "
    "expected AS (SELECT id, diamonds FROM corrections WHERE diamonds > 0 AND status IN ('approved', 'applied')) "
    "SELECT coalesce(e.id, p.id) AS id, e.diamonds AS expected, p.diamonds "
    "FROM expected e FULL JOIN posted p USING (id) "
    "WHERE e.diamonds IS DISTINCT FROM p.diamonds ORDER BY 1 LIMIT :examples"
)
_LATE = text(
    "SELECT id, user_id, coins FROM corrections WHERE status = 'approved' "
    "AND decided_at < now() - make_interval(secs => :ttl_s) ORDER BY 1 LIMIT :examples"
)


async def wrong_corrections(connection: AsyncConnection, ref_ttl_s: int, examples: int) -> tuple[int, list[str]]:
    """For the audit: how many there are, and each that has not exactly the entry and the diamonds of its status."""
    wrong = [
        f"correction {row.id}: {row.entries or 0} entries of {row.coins or 0} coins in all, "
        f"expected {'none' if row.expected is None else f'one of {row.expected}'}"
        for row in await connection.execute(_ENTRIES, {"examples": examples})
    ]
    wrong += [
        f"correction {row.id}: {row.diamonds or 0} diamonds taken back, expected {row.expected or 0}"
        for row in await connection.execute(_POSTED, {"examples": examples})
    ]
    wrong += [
        f"correction {row.id}: approved, but its {row.coins} coins for {row.user_id} never came"
        for row in await connection.execute(_LATE, {"examples": examples, "ttl_s": ref_ttl_s})
    ]
    return await connection.scalar(select(func.count()).select_from(table)) or 0, wrong
