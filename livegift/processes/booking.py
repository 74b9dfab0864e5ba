"""Isolation of bad entries: a batch that the ledger refuses is halved until the bad entry is alone."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog

from livegift.contract.errors import PartitionStoppedError
from livegift.contract.journal import Entry, WalletChanged
from livegift.domain.entries import Row
from livegift.domain.journal import Poison
from livegift.domain.partitions import Position
from livegift.ledger.engine import Database
from livegift.ledger.journal import Booked, UnbookableError, book
from livegift.ledger.participants import BookingPlan
from livegift.ledger.slices import JournalSlice
from livegift.runtime import metrics

log = structlog.get_logger()


def slice_of(plan: BookingPlan, partition: int, after: Position, rows: Sequence[Row]) -> JournalSlice:
    """Return the rows as a slice to book; entries that can't be decoded are marked as poison."""
    return JournalSlice(partition, after, tuple((row.position, _entry(plan, row)) for row in rows))


def _entry(plan: BookingPlan, row: Row) -> Entry | Poison:
    if row.entry is None:
        return Poison(row.raw, "its bytes are not an entry that this version knows")
    if isinstance(row.entry, WalletChanged) and row.entry.reason not in plan.reasons:
        expected = sorted(plan.reasons)
        return Poison(row.raw, f"unknown reason {row.entry.reason!r}, expected one of {expected}", row.entry)
    return row.entry


async def book_all(
    database: Database, plan: BookingPlan, slices: Sequence[JournalSlice]
) -> AsyncIterator[tuple[Sequence[JournalSlice], Booked]]:
    """Book the slices, in as few transactions as the ledger takes; yields each part that was committed.

    An entry that is refused even alone goes to quarantine. Raises what `book` raises, except UnbookableError.
    """
    try:
        with metrics.BOOK_SECONDS.time():
            booked = await book(database, plan, slices)
    except UnbookableError as error:
        log.warning("booking.refused", entries=sum(len(s.entries) for s in slices), error=str(error))
        for part in _halves(slices, str(error)):
            async for done in book_all(database, plan, part):
                yield done
        return
    _tell_of_poison(slices)
    yield slices, booked


def _halves(slices: Sequence[JournalSlice], error: str) -> list[list[JournalSlice]]:
    """Return two smaller batches, in order; a lone entry is marked as poison."""
    if len(slices) > 1:
        middle = len(slices) // 2
        return [list(slices[:middle]), list(slices[middle:])]
    (piece,) = slices
    if len(piece.entries) > 1:
        middle = len(piece.entries) // 2
        first = JournalSlice(piece.partition, piece.after, piece.entries[:middle])
        return [[first], [JournalSlice(piece.partition, first.end, piece.entries[middle:])]]
    ((position, entry),) = piece.entries
    if isinstance(entry, Poison) and entry.entry is None:
        raise PartitionStoppedError(piece.partition, f"entry {position} can't even be put into quarantine: {error}")
    if isinstance(entry, Poison):  # now without its wallet, which the wallet's next entry will show
        poison = Poison(entry.raw, f"{entry.error}; {error}")
    else:
        poison = Poison(msgspec.json.encode(entry), error, entry)
    return [[JournalSlice(piece.partition, piece.after, ((position, poison),))]]


def _tell_of_poison(slices: Sequence[JournalSlice]) -> None:
    for piece in slices:
        for position, entry in piece.entries:
            if isinstance(entry, Poison):
                metrics.QUARANTINED.inc()
                log.error("journal.quarantined", partition=piece.partition, position=str(position), error=entry.error)
