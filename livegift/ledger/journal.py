"""Booking: the journals' entries become rows, exactly once, because the checkpoint moves in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection as DriverConnection
from sqlalchemy import Row, TextClause, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import LivegiftError, PartitionStoppedError
from livegift.contract.journal import Entry, GiftSent, LimitsChanged, StreakEnded, WalletChanged
from livegift.domain.journal import Poison
from livegift.domain.partitions import Position
from livegift.domain.postings import Transfer, diamonds_of, suspense_of, transfers_of
from livegift.ledger import accounts, allowances, tables
from livegift.ledger.engine import Database, plain
from livegift.ledger.limit_tables import wallet_limits
from livegift.ledger.participants import Batch, BookingPlan
from livegift.ledger.quarantine import Quarantined, put_aside
from livegift.ledger.slices import JournalSlice
from livegift.ledger.statements import Statements
from livegift.ledger.wallet_balances import move_wallet_balances


class CheckpointMovedError(LivegiftError):
    """Another aggregator has booked for these partitions. Nothing was booked: load their checkpoints again."""

    def __init__(self, partitions: Sequence[int]) -> None:
        """Name the partitions whose checkpoint is not where the batch begins."""
        self.partitions = tuple(partitions)
        super().__init__(f"the checkpoints of partitions {list(partitions)} have moved")


class UnbookableError(LivegiftError):
    """The ledger refuses an unknown entry of the batch; nothing was booked."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position up to which a partition is booked, under its last armed epoch, and why it was stopped, if it was.

    `gifts` and `coins` are the totals booked.
    """

    partition: int
    position: Position
    stopped: str | None
    gifts: int
    coins: int


@dataclass(frozen=True, slots=True)
class Credit:
    """A creator's diamonds from a batch, and the balance after it. Others pay for `matched_diamonds` of them."""

    creator: str
    diamonds: int
    balance: int
    matched_diamonds: int = 0


@dataclass(frozen=True, slots=True)
class Booked:
    """The result of a committed batch. `news`, by participant, is for the work after the commit."""

    batch_id: int
    gifts: int
    transfers: int
    credits: tuple[Credit, ...]
    news: Mapping[str, object]


class _Sql(Statements, file="journal.sql"):
    """The statements of this module."""

    move_checkpoints: TextClause


_GIFT_COLUMNS = [column.name for column in tables.gifts.columns]
_TRANSFER_COLUMNS = [column.name for column in tables.transfers.columns]
_LIMIT_COLUMNS = [column.name for column in wallet_limits.columns]
_STREAK_END_COLUMNS = [column.name for column in tables.streak_ends.columns]


async def read_checkpoints(database: Database, partitions: Iterable[int] | None = None) -> dict[int, Checkpoint]:
    """Return the checkpoints of `partitions` (default: all)."""
    query = select(tables.checkpoints)
    if partitions is not None:
        query = query.where(tables.checkpoints.c.partition.in_(list(partitions)))
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return {row.partition: checkpoint_of(row) for row in rows}


def checkpoint_of(row: Row[tuple[object, ...]]) -> Checkpoint:
    """Convert a row of `checkpoints`."""
    return Checkpoint(row.partition, Position(row.epoch, row.n), row.stopped, row.gifts, row.coins)


async def book(database: Database, plan: BookingPlan, slices: Sequence[JournalSlice]) -> Booked:
    """Book the slices (of different partitions) in one transaction.

    Raises CheckpointMovedError (nothing booked, another process did), PartitionStoppedError (nothing booked, one
    journal does not fit the ledger), UnbookableError (nothing booked, an entry is refused) or LedgerUnavailableError
    (unknown: the checkpoints show it).
    """
    try:
        return await _book(database, plan, slices)
    except (SQLAlchemyError, psycopg.Error, ValueError, OverflowError, KeyError) as error:
        raise UnbookableError(plain(error)) from error


async def _book(database: Database, plan: BookingPlan, slices: Sequence[JournalSlice]) -> Booked:
    async with database.begin() as connection:
        await _check_checkpoints(connection, slices)
        await put_aside(connection, slices)
        # Before the rows: a fork is to be named as one, not as a row that is there twice.
        found = await move_wallet_balances(connection, slices)
        booked = await _book_rows(connection, plan, slices, found)
        await _move_checkpoints(connection, slices)
    return booked


async def _book_rows(
    connection: AsyncConnection, plan: BookingPlan, slices: Sequence[JournalSlice], more: Sequence[Transfer]
) -> Booked:
    """Write the rows of all entries and change the accounts, also by `more` transfers whose rows are elsewhere."""
    gifts = [(s.partition, p, e) for s in slices for p, e in s.entries if isinstance(e, GiftSent)]
    changes = [(s.partition, p, e) for s in slices for p, e in s.entries if isinstance(e, WalletChanged)]
    ends = [(s.partition, p, e) for s in slices for p, e in s.entries if isinstance(e, StreakEnded)]
    limits = [(s.partition, p, e) for s in slices for p, e in s.entries if isinstance(e, LimitsChanged)]
    batch_id = await connection.scalar(
        insert(tables.batches).values(gifts=len(gifts), transfers=len(changes)).returning(tables.batches.c.id)
    )
    assert batch_id is not None  # noqa: S101 - RETURNING of an insert has a row
    rows = [_change_row(batch_id, plan.reasons, *item) for item in changes]
    await _copy(connection, "gifts", _GIFT_COLUMNS, [_gift_row(batch_id, *item) for item in gifts])
    await _copy(connection, "transfers", _TRANSFER_COLUMNS, rows)
    ended = [(partition, p.epoch, p.n, end.combo_id, end.ts_ms) for partition, p, end in ends]
    await _copy(connection, "streak_ends", _STREAK_END_COLUMNS, ended)
    await _copy(connection, "wallet_limits", _LIMIT_COLUMNS, [allowances.row_of(*item) for item in limits])
    batch = Batch(gifts, changes)
    for participant in plan.participants:
        await participant.book(connection, batch)
    moves = [t for s in slices for _, entry in s.entries for t in transfers_of(entry, s.partition, plan.reasons)]
    # Last: who changes what a participant has locked takes that lock and then the accounts'.
    balances = await accounts.add(connection, [*moves, *more, *batch.transfers])
    return Booked(batch_id, len(gifts), len(changes), _credits(batch, balances), batch.news)


def _credits(batch: Batch, balances: Mapping[str, int]) -> tuple[Credit, ...]:
    added = batch.added_diamonds
    diamonds = dict(added)
    for _, _, gift in batch.gifts:
        diamonds[gift.to] = diamonds.get(gift.to, 0) + gift.diamonds
    return tuple(
        Credit(user, earned, balances[diamonds_of(user)], added.get(user, 0))
        for user, earned in diamonds.items()
        if earned
    )


async def book_quarantined(connection: AsyncConnection, plan: BookingPlan, found: Quarantined, entry: Entry) -> Booked:
    """Book an entry that was in quarantine: its coins move from suspense to their account, and diamonds are credited.

    `found` is locked and open. Raises PartitionStoppedError when the wallet's chain does not fit, UnbookableError when
    the entry is refused again.
    """
    piece = JournalSlice(found.partition, found.position, ((found.position, entry),))
    try:
        if found.user is None:
            return await _book_rows(connection, plan, [piece], await move_wallet_balances(connection, [piece]))
        held = suspense_of(found.user, found.partition, found.coins or 0)
        back = [Transfer(t.asset, t.credit, t.debit, t.amount) for t in held]
        return await _book_rows(connection, plan, [piece], back)
    except (SQLAlchemyError, psycopg.Error, ValueError, OverflowError, KeyError) as error:
        raise UnbookableError(plain(error)) from error


async def _check_checkpoints(connection: AsyncConnection, slices: Sequence[JournalSlice]) -> None:
    table = tables.checkpoints
    wanted = {piece.partition: piece for piece in slices}
    query = select(table).where(table.c.partition.in_(wanted)).order_by(table.c.partition).with_for_update()
    rows = (await connection.execute(query)).all()
    moved = [row.partition for row in rows if Position(row.epoch, row.n) != wanted[row.partition].after]
    if moved or len(rows) != len(wanted):
        raise CheckpointMovedError(moved or sorted(wanted))
    for row in rows:
        if row.stopped:
            raise PartitionStoppedError(row.partition, row.stopped)
    begun = [base for piece in slices for base in _check_chain(piece)]
    if begun:
        await connection.execute(pg_insert(tables.epochs).values(begun).on_conflict_do_nothing())


def _check_chain(piece: JournalSlice) -> list[dict[str, int]]:
    """Check that positions have no gap and do not go back; returns the epochs that begin in the slice, with bases.

    Each epoch is committed before Redis hears of it, so only a ledger that was set back can meet a new one.
    """
    before, begun = piece.after, []
    for position, _ in piece.entries:
        if position.n != before.n + 1 or position.epoch < before.epoch:
            raise PartitionStoppedError(
                piece.partition,
                f"after {before} the journal goes on at {position}; expected n {before.n + 1} and no lower epoch",
            )
        if position.epoch > before.epoch:
            begun.append({"partition": piece.partition, "epoch": position.epoch, "base": before.n})
        before = position
    return begun


async def _move_checkpoints(connection: AsyncConnection, slices: Sequence[JournalSlice]) -> None:
    # A gift counts as accepted, whether it could be booked or not.
    accepted = [[g for _, entry in s.entries if (g := _gift_in(entry)) is not None] for s in slices]
    await connection.execute(
        _Sql.move_checkpoints,
        {
            "partitions": [s.partition for s in slices],
            "epochs": [s.end.epoch for s in slices],
            "ns": [s.end.n for s in slices],
            "gifts": [len(gifts) for gifts in accepted],
            "coins": [sum(gift.coins for gift in gifts) for gifts in accepted],
        },
    )


def _gift_in(entry: Entry | Poison) -> GiftSent | None:
    found = entry.entry if isinstance(entry, Poison) else entry
    return found if isinstance(found, GiftSent) else None


def _gift_row(batch_id: int, partition: int, position: Position, gift: GiftSent) -> tuple[object, ...]:
    return (
        partition,
        position.epoch,
        position.n,
        batch_id,
        gift.user,
        gift.wallet_seq,
        gift.balance,
        gift.ref,
        gift.room,
        gift.to,
        gift.gift_id,
        gift.count,
        gift.coins,
        gift.diamonds,
        gift.combo_id,
        gift.repeat_count,
        gift.anonymous,
        gift.ts_ms,
        gift.payload_hash,
        gift.day,
    )


def _change_row(
    batch_id: int, reasons: Mapping[str, str], partition: int, position: Position, change: WalletChanged
) -> tuple[object, ...]:
    (transfer,) = transfers_of(change, partition, reasons)
    return (
        partition,
        position.epoch,
        position.n,
        batch_id,
        transfer.asset,
        transfer.debit,
        transfer.credit,
        transfer.amount,
        change.user,
        change.wallet_seq,
        change.balance,
        change.reason,
        change.ref,
        change.ts_ms,
        change.payload_hash,
    )


async def _copy(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    if not rows:
        return
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, DriverConnection)  # noqa: S101 - the engine is made for psycopg
    async with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,  # names of our own
    ):
        for row in rows:
            await copy.write_row(row)
