"""Booking and auditing as the processes do, with what all features add to it."""

from collections.abc import AsyncIterator, Sequence

from livegift.composition import audit_plan, booking_plan
from livegift.ledger import journal
from livegift.ledger.engine import Database
from livegift.ledger.journal import Booked
from livegift.ledger.slices import JournalSlice
from livegift.operations import audit as operations
from livegift.operations.audit import Report, Seen
from livegift.processes import booking
from livegift.runtime.bounds import AUDIT_WAIT_S
from livegift.runtime.settings import Settings

REASONS = booking_plan().reasons
NOTHING_IN_REDIS = Seen([], {}, {}, ref_ttl_s=86_400)


async def book(database: Database, slices: Sequence[JournalSlice]) -> Booked:
    return await journal.book(database, booking_plan(), slices)


def book_all(
    database: Database, slices: Sequence[JournalSlice]
) -> AsyncIterator[tuple[Sequence[JournalSlice], Booked]]:
    return booking.book_all(database, booking_plan(), slices)


async def audit(settings: Settings, wait_s: float = AUDIT_WAIT_S) -> Report:
    return await operations.audit(settings, audit_plan(), wait_s)
