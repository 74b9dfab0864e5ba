"""Booking: entries of the journals become rows, exactly once, because the checkpoint moves in the same transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection as DriverConnection
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.journal import Entry, GiftSent, WalletChanged
from livegift.domain.partitions import Position
from livegift.domain.postings import REASONS, Transfer, diamonds_of, sums, transfers_of
from livegift.errors import LivegiftError, PartitionStoppedError
from livegift.ledger import tables
from livegift.ledger.engine import Database


class CheckpointMovedError(LivegiftError):
    """Another aggregator has booked for these partitions: nothing was booked, load their checkpoints again."""

    def __init__(self, partitions: Sequence[int]) -> None:
        """`partitions` are those whose checkpoint is not where the batch begins."""
        self.partitions = tuple(partitions)
        super().__init__(f"the checkpoints of partitions {list(partitions)} have moved")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a partition is booked, the epoch it is armed under, and why it was stopped, if it was."""

    partition: int
    position: Position
    armed_epoch: int
    stopped: str | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive entries of one partition, the first right after `after`."""

    partition: int
    after: Position
    entries: tuple[tuple[Position, Entry], ...]

    @property
    def end(self) -> Position:
        """The position of the last entry."""
        return self.entries[-1][0]


@dataclass(frozen=True, slots=True)
class Credit:
    """What a creator got by a batch: `diamonds` more, `balance` after it."""

    creator: str
    diamonds: int
    balance: int


@dataclass(frozen=True, slots=True)
class Booked:
    """The result of one committed batch."""

    batch_id: int
    gifts: int
    transfers: int
    credits: tuple[Credit, ...]


@dataclass(slots=True)
class _Head:
    """How a batch moves one wallet: from (seq, balance) before its first entry to those of its last."""

    partition: int
    before_seq: int
    before_balance: int
    epoch: int
    seq: int
    balance: int


_GIFT_COLUMNS = [column.name for column in tables.gifts.columns]
_TRANSFER_COLUMNS = [column.name for column in tables.transfers.columns]

_NEW_HEADS = text(
    "INSERT INTO wallet_heads (user_id, partition, epoch, seq, balance) "
    "SELECT u, p, 0, 0, 0 FROM unnest(CAST(:users AS text[]), CAST(:partitions AS int[])) AS v(u, p) "
    "ORDER BY u ON CONFLICT (user_id) DO NOTHING"
)
_MOVE_HEADS = text(
    "UPDATE wallet_heads h SET epoch = v.epoch, seq = v.seq, balance = v.balance "
    "FROM unnest(CAST(:users AS text[]), CAST(:before_seqs AS bigint[]), CAST(:before_balances AS bigint[]), "
    "CAST(:epochs AS bigint[]), CAST(:seqs AS bigint[]), CAST(:balances AS bigint[])) "
    "AS v(user_id, before_seq, before_balance, epoch, seq, balance) "
    "WHERE h.user_id = v.user_id AND h.seq = v.before_seq AND h.balance = v.before_balance RETURNING h.user_id"
)
# In the order of the names, which all bookings share: no two of them can wait for each other.
_ADD_TO_ACCOUNTS = text(
    "INSERT INTO accounts (name, asset, balance) "
    "SELECT n, a, c FROM unnest(CAST(:names AS text[]), CAST(:assets AS text[]), CAST(:changes AS bigint[])) "
    "AS v(n, a, c) ORDER BY n "
    "ON CONFLICT (name) DO UPDATE SET balance = accounts.balance + excluded.balance RETURNING name, balance"
)
_MOVE_CHECKPOINTS = text(
    "UPDATE checkpoints c SET epoch = v.epoch, n = v.n, booked_at = now() "
    "FROM unnest(CAST(:partitions AS int[]), CAST(:epochs AS bigint[]), CAST(:ns AS bigint[])) "
    "AS v(partition, epoch, n) WHERE c.partition = v.partition"
)


async def read_checkpoints(database: Database, partitions: Iterable[int] | None = None) -> dict[int, Checkpoint]:
    """The checkpoints of `partitions` (default: all)."""
    query = select(tables.checkpoints)
    if partitions is not None:
        query = query.where(tables.checkpoints.c.partition.in_(list(partitions)))
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return {
        row.partition: Checkpoint(row.partition, Position(row.epoch, row.n), row.armed_epoch, row.stopped)
        for row in rows
    }


async def stop_partition(database: Database, partition: int, reason: str) -> None:
    """Book nothing more of a partition until somebody has looked at it."""
    async with database.begin() as connection:
        await connection.execute(
            update(tables.checkpoints).where(tables.checkpoints.c.partition == partition).values(stopped=reason)
        )


async def raise_epoch(connection: AsyncConnection, partition: int, above: int) -> Checkpoint:
    """Lock a checkpoint's row until the transaction ends and give the partition the next epoch, above all so far."""
    row = (
        await connection.execute(
            select(tables.checkpoints).where(tables.checkpoints.c.partition == partition).with_for_update()
        )
    ).one()
    epoch = max(row.armed_epoch, above) + 1
    await connection.execute(
        update(tables.checkpoints).where(tables.checkpoints.c.partition == partition).values(armed_epoch=epoch)
    )
    return Checkpoint(partition, Position(row.epoch, row.n), epoch, row.stopped)


async def book(database: Database, stretches: Sequence[Stretch]) -> Booked:
    """Book the stretches (of different partitions) in one transaction.

    Raises CheckpointMovedError (nothing booked, somebody else did), PartitionStoppedError (nothing booked, one journal
    does not fit the ledger) or LedgerUnavailableError (unknown: the checkpoints tell).
    """
    async with database.begin() as connection:
        await _check_checkpoints(connection, stretches)
        gifts = [(s.partition, p, e) for s in stretches for p, e in s.entries if isinstance(e, GiftSent)]
        changes = [(s.partition, p, e) for s in stretches for p, e in s.entries if isinstance(e, WalletChanged)]
        batch_id = await connection.scalar(
            insert(tables.batches).values(gifts=len(gifts), transfers=len(changes)).returning(tables.batches.c.id)
        )
        assert batch_id is not None  # noqa: S101 - RETURNING of an insert has a row
        # Before the rows: a fork is to be named as one, not as a row that is there twice.
        await _move_heads(connection, stretches)
        await _copy(connection, "gifts", _GIFT_COLUMNS, [_gift_row(batch_id, *item) for item in gifts])
        await _copy(connection, "transfers", _TRANSFER_COLUMNS, [_change_row(batch_id, *item) for item in changes])
        balances = await _add_to_accounts(connection, stretches)
        await _mark_grants(connection, [e.ref.removeprefix("grant:") for _, _, e in changes if e.reason == "grant"])
        await connection.execute(
            _MOVE_CHECKPOINTS,
            {
                "partitions": [s.partition for s in stretches],
                "epochs": [s.end.epoch for s in stretches],
                "ns": [s.end.n for s in stretches],
            },
        )
    diamonds: dict[str, int] = {}
    for _, _, gift in gifts:
        diamonds[gift.to] = diamonds.get(gift.to, 0) + gift.diamonds
    credited = tuple(Credit(user, earned, balances[diamonds_of(user)]) for user, earned in diamonds.items() if earned)
    return Booked(batch_id, len(gifts), len(changes), credited)


async def _check_checkpoints(connection: AsyncConnection, stretches: Sequence[Stretch]) -> None:
    table = tables.checkpoints
    wanted = {stretch.partition: stretch for stretch in stretches}
    query = select(table).where(table.c.partition.in_(wanted)).order_by(table.c.partition).with_for_update()
    rows = (await connection.execute(query)).all()
    moved = [row.partition for row in rows if Position(row.epoch, row.n) != wanted[row.partition].after]
    if moved or len(rows) != len(wanted):
        raise CheckpointMovedError(moved or sorted(wanted))
    for row in rows:
        if row.stopped:
            raise PartitionStoppedError(row.partition, row.stopped)
        _check_chain(wanted[row.partition], row.armed_epoch)


def _check_chain(stretch: Stretch, armed_epoch: int) -> None:
    """No hole, no step back, no epoch that nobody has armed."""
    before = stretch.after
    for position, entry in stretch.entries:
        if isinstance(entry, WalletChanged) and entry.reason not in REASONS:
            raise PartitionStoppedError(
                stretch.partition,
                f"entry {position} has the reason {entry.reason!r}, expected one of {sorted(REASONS)}",
            )
        if position.n != before.n + 1 or not before.epoch <= position.epoch <= armed_epoch:
            raise PartitionStoppedError(
                stretch.partition,
                f"after {before} the journal goes on at {position}; expected n {before.n + 1} "
                f"and an epoch from {before.epoch} to {armed_epoch}",
            )
        before = position


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
    )


def _change_row(batch_id: int, partition: int, position: Position, change: WalletChanged) -> tuple[object, ...]:
    (transfer,) = transfers_of(change, partition)
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


def _fold_heads(stretches: Sequence[Stretch]) -> dict[str, _Head]:
    heads: dict[str, _Head] = {}
    for stretch in stretches:
        for position, entry in stretch.entries:
            if isinstance(entry, GiftSent):
                delta = -entry.coins
            elif isinstance(entry, WalletChanged):
                delta = entry.delta
            else:
                continue
            head = heads.get(entry.user)
            if head is None:
                head = heads[entry.user] = _Head(
                    stretch.partition, entry.wallet_seq - 1, entry.balance - delta, 0, entry.wallet_seq, entry.balance
                )
            elif entry.wallet_seq != head.seq + 1 or entry.balance != head.balance + delta:
                raise PartitionStoppedError(
                    stretch.partition,
                    f"entry {position} says wallet {entry.user} is at seq {entry.wallet_seq} with {entry.balance}; "
                    f"expected seq {head.seq + 1} with {head.balance + delta}",
                )
            head.epoch, head.seq, head.balance = position.epoch, entry.wallet_seq, entry.balance
    return heads


async def _move_heads(connection: AsyncConnection, stretches: Sequence[Stretch]) -> None:
    heads = dict(sorted(_fold_heads(stretches).items()))
    if not heads:
        return
    fresh = {user: head for user, head in heads.items() if head.before_seq == 0}
    if fresh:
        await connection.execute(
            _NEW_HEADS, {"users": list(fresh), "partitions": [head.partition for head in fresh.values()]}
        )
    result = await connection.execute(
        _MOVE_HEADS,
        {
            "users": list(heads),
            "before_seqs": [head.before_seq for head in heads.values()],
            "before_balances": [head.before_balance for head in heads.values()],
            "epochs": [head.epoch for head in heads.values()],
            "seqs": [head.seq for head in heads.values()],
            "balances": [head.balance for head in heads.values()],
        },
    )
    moved = {row.user_id for row in result}
    forked = [user for user in heads if user not in moved]
    if forked:
        head = heads[forked[0]]
        raise PartitionStoppedError(
            head.partition,
            f"the journal says wallet {forked[0]} was at seq {head.before_seq} with {head.before_balance}, "
            "the ledger knows another state",
        )


async def _add_to_accounts(connection: AsyncConnection, stretches: Sequence[Stretch]) -> dict[str, int]:
    moves: list[Transfer] = []
    for stretch in stretches:
        for _, entry in stretch.entries:
            moves += transfers_of(entry, stretch.partition)
    changes = sums(moves)
    if not changes:
        return {}
    result = await connection.execute(
        _ADD_TO_ACCOUNTS,
        {
            "names": [name for name, _ in changes],
            "assets": [asset for _, asset in changes],
            "changes": list(changes.values()),
        },
    )
    return {row.name: row.balance for row in result}


async def _mark_grants(connection: AsyncConnection, refs: Sequence[str]) -> None:
    if refs:
        await connection.execute(
            update(tables.grants).where(tables.grants.c.ref.in_(refs)).values(status="credited", credited_at=func.now())
        )
