"""What an INSERT ... ON CONFLICT DO NOTHING makes once: events of providers, batches for the bank."""

import re
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql import insert

import livegift
from livegift.domain.payments import EventKind
from livegift.features.orders.payment_events import ProviderEvent, apply
from livegift.features.orders.queries import read_order
from livegift.features.payouts import queries as payouts
from livegift.features.payouts.tables import payout_batches
from livegift.ledger.engine import Database, has_inserted
from tests.ledger.journals import arm
from tests.ledger.test_orders import KEEPS, Books
from tests.ledger.test_payouts import IBAN, TERMS, give


@pytest.fixture(autouse=True)
async def _ready(database: Database) -> None:
    await arm(database, range(8))
    await payouts.write_account(database, "cleo", payouts.BankAccount("Cleo", IBAN))


async def test_whether_it_was_made(database: Database) -> None:
    made = insert(payout_batches).values(id="b1", made_by="root").on_conflict_do_nothing()
    async with database.begin() as connection:
        assert [await has_inserted(connection, made) for _ in range(3)] == [True, False, False]


def test_nobody_asks_for_the_rowcount_of_an_insert() -> None:
    """The driver's is gone by then: SQLAlchemy says -1, which is neither 0 nor 1, and true."""
    for path in (Path(livegift.__file__).parent / "ledger").rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not re.search(r"(insert|conflict_do_nothing|made|noted).*\.rowcount", line), f"{path}: {line}"


async def test_an_event_that_comes_again_changes_nothing(database: Database) -> None:
    """Providers deliver at least once, for days: the refund of before came again after it had failed."""
    books = Books(database)
    order = await books.paid("ord-1", "ann")
    for kind, event_id in (("refunded", "evt-r"), ("refund_failed", "evt-f")):
        books.move((await books.hear(order, kind, event_id=event_id)).order)
        await books.book()
    stored = await read_order(database, order.id)
    assert stored is not None
    before = stored.order
    assert before.status == "credited"
    again: list[tuple[EventKind, str]] = [("refunded", "evt-r"), ("refund_failed", "evt-f"), ("refunded", "evt-r")]
    for kind, event_id in again:
        event = ProviderEvent("sandbox", event_id, kind, order.id, None, order.amount, order.currency)
        applied = await apply(database, event, KEEPS)
        assert applied is not None
        assert (applied[0].order, applied[1]) == (before, None), kind


async def test_a_batch_that_is_asked_for_again_gets_no_more_payouts(database: Database) -> None:
    """Its file is at the bank by then: what was approved since would be paid twice, or never."""
    await give(database, 1_000)
    for number in range(2):
        await payouts.request_payout(database, f"p{number}", "cleo", 200, TERMS)
        await payouts.move_payout(database, f"p{number}", "approve", "root")
        batch = await payouts.make_batch(database, "b1", "root", 100)
        assert [item.payout.id for item in batch] == ["p0"]
