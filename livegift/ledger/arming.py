"""The ledger's side of arming a partition, and the state that Redis is repaired with. See decision 007."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.allowances import NO_LIMITS, NO_USAGE, SpendingLimits, Usage
from livegift.domain.partitions import Position
from livegift.ledger import tables
from livegift.ledger.allowances import allowances_of
from livegift.ledger.engine import Database
from livegift.ledger.journal import Checkpoint, checkpoint_of
from livegift.ledger.statements import Statements
from livegift.runtime.bounds import ROOM_EPOCH_STRIDE

PAGE = 5_000


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """A wallet according to the ledger; with a `seq` of 0 if it is unknown there."""

    user: str
    balance: int
    seq: int
    frozen: bool
    limits: SpendingLimits
    usage: Usage


@dataclass(frozen=True, slots=True)
class BookedRef:
    """An accepted ref and its answer. `combo_id` and `repeat_count` are None for a change of a wallet."""

    user: str
    ref: str
    payload_hash: str
    position: Position
    coins: int
    combo_id: str | None
    repeat_count: int | None
    ts_ms: int


@dataclass(frozen=True, slots=True)
class BookedStreak:
    """The last gift of a streak whose end was not booked, less revoked gifts; `n` is of its last gift or revocation."""

    room: str
    gift_id: str
    to: str
    anonymous: bool
    user: str
    combo_id: str
    repeat_count: int
    ts_ms: int
    n: int


class _Sql(Statements, file="arming.sql"):
    """The statements of this module."""

    ended_after: TextClause
    touched: TextClause
    debtors: TextClause
    heads: TextClause
    refs: TextClause
    streaks: TextClause
    revoked: TextClause
    ended: TextClause
    next_room_epoch: TextClause
    advance_marks: TextClause


async def lock_checkpoint(connection: AsyncConnection, partition: int) -> tuple[Checkpoint, dict[int, int]]:
    """Lock a partition's checkpoint until the transaction ends; returns it and the bases of the partition's epochs."""
    query = select(tables.checkpoints).where(tables.checkpoints.c.partition == partition).with_for_update()
    row = (await connection.execute(query)).one()
    bases = await connection.execute(select(tables.epochs).where(tables.epochs.c.partition == partition))
    return checkpoint_of(row), {base.epoch: base.base for base in bases}


async def all_bases(connection: AsyncConnection) -> dict[int, dict[int, int]]:
    """Return the bases of all epochs of all partitions."""
    found: dict[int, dict[int, int]] = {}
    for row in await connection.execute(select(tables.epochs)):
        found.setdefault(row.partition, {})[row.epoch] = row.base
    return found


async def begin_epoch(connection: AsyncConnection, partition: int, at: Position) -> None:
    """Begin the epoch of `at` at its n. The checkpoint is locked and has that n, and debtors were thawed."""
    await connection.execute(insert(tables.epochs).values(partition=partition, epoch=at.epoch, base=at.n))
    await connection.execute(
        update(tables.checkpoints)
        .where(tables.checkpoints.c.partition == partition)
        .values(epoch=at.epoch, frozen_by_debts=False)
    )


async def set_stopped(database: Database, partition: int, reason: str | None) -> bool:
    """Stop a partition (nothing is booked or armed), or restart it (None). Returns False when it does not exist."""
    table = tables.checkpoints
    async with database.begin() as connection:
        result = await connection.execute(
            update(table).where(table.c.partition == partition).values(stopped=reason).returning(table.c.partition)
        )
        return result.first() is not None


def _behind(partition: int, after: Position) -> dict[str, object]:
    return {"partition": partition, "epoch": after.epoch, "n": after.n}


async def touched_users(connection: AsyncConnection, partition: int, after: Position) -> list[str]:
    """Return the users whose wallets were changed by entries after a position."""
    rows = await connection.execute(_Sql.touched, _behind(partition, after))
    return [row.user_id for row in rows]


async def debtors_to_thaw(connection: AsyncConnection, partition: int) -> list[str]:
    """Return users whom an earlier version may have frozen for being below zero; only once, see `begin_epoch`."""
    return [row.user_id for row in await connection.execute(_Sql.debtors, {"partition": partition})]


async def wallet_balances_of(connection: AsyncConnection, users: Sequence[str]) -> AsyncIterator[list[WalletBalance]]:
    """Yield the wallets of `users`, in chunks."""
    for start in range(0, len(users), PAGE):
        rows = await connection.execute(_Sql.heads, {"users": list(users[start : start + PAGE])})
        allowed = await allowances_of(connection, users[start : start + PAGE])
        yield [
            WalletBalance(
                row.user_id, row.balance, row.seq, row.frozen, *allowed.get(row.user_id, (NO_LIMITS, NO_USAGE))
            )
            for row in rows
        ]


async def refs_after(
    connection: AsyncConnection, partition: int, after: Position, since_ms: int
) -> AsyncIterator[list[BookedRef]]:
    """Yield the refs accepted after a position and after a time, in order, in chunks."""
    while True:
        query = {**_behind(partition, after), "since_ms": since_ms, "page": PAGE}
        rows = (await connection.execute(_Sql.refs, query)).all()
        if not rows:
            return
        yield [
            BookedRef(
                row.user_id,
                row.ref,
                row.payload_hash,
                Position(row.epoch, row.n),
                row.coins,
                row.combo_id,
                row.repeat_count,
                row.ts_ms,
            )
            for row in rows
        ]
        after = Position(rows[-1].epoch, rows[-1].n)


async def streaks_after(
    connection: AsyncConnection, partition: int, after: Position, since_ms: int
) -> list[BookedStreak]:
    """Return the last gift of each streak that was begun or extended after a position and has no booked end."""
    found = (await connection.execute(_Sql.streaks, {**_behind(partition, after), "since_ms": since_ms})).all()
    ended = {row.combo_id for row in await connection.execute(_Sql.ended, {"combos": [row.combo_id for row in found]})}
    return [
        BookedStreak(
            r.room,
            r.gift_id,
            r.receiver,
            r.anonymous,
            r.sender,
            r.combo_id,
            max(r.repeat_count - int(r.revoked), 0),
            r.ts_ms,
            r.last_n,
        )
        for r in found
        if r.combo_id not in ended
    ]


async def has_revocations_after(connection: AsyncConnection, partition: int, after: Position) -> bool:
    """Return whether gifts were revoked after a position; their streaks may have begun before it."""
    return bool(await connection.scalar(_Sql.revoked, _behind(partition, after)))


async def ended_combos(connection: AsyncConnection, partition: int, after: Position) -> set[str]:
    """Return the streaks whose end was booked after a position."""
    rows = await connection.execute(_Sql.ended_after, _behind(partition, after))
    return {row.combo_id for row in rows}


async def forget_streak_ends(database: Database, before_ms: int) -> None:
    """Delete the ends of streaks that ended before `before_ms`: such streaks are not reopened."""
    async with database.begin() as connection:
        await connection.execute(delete(tables.streak_ends).where(tables.streak_ends.c.ts_ms < before_ms))


async def next_room_epoch(database: Database) -> int:
    """Return a number above all earlier ones, for the rooms of a node that has restarted.

    The clock helps a ledger that was set back not to issue a number twice; in between, rooms increment it themselves.
    """
    async with database.begin() as connection:
        return int(await connection.scalar(_Sql.next_room_epoch, {"stride": ROOM_EPOCH_STRIDE}) or 0)


async def advance_marks(database: Database, partitions: Sequence[int], keep_s: float) -> dict[int, Position]:
    """Return the recorded positions that are older than `keep_s`, and record the present ones instead.

    Entries up to the returned positions can be trimmed.
    """
    async with database.begin() as connection:
        rows = (await connection.execute(_Sql.advance_marks, {"ps": list(partitions), "keep": keep_s})).all()
    return {row.partition: Position(row.mark_epoch, row.mark_n) for row in rows}
