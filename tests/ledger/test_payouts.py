"""Earnings, payouts and statements on the real ledger: nothing is made, nothing is lost, closed stays closed."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.composition import audit_plan
from livegift.contract.errors import RequestError
from livegift.features.corrections import queries as corrections
from livegift.features.corrections.rules import Correction, RevokedGift
from livegift.features.earnings import statements
from livegift.features.earnings.queries import Earnings, earnings_of
from livegift.features.earnings.statements import Period
from livegift.features.payouts import queries as payouts
from livegift.features.payouts.queries import BankAccount, PayoutTerms
from livegift.features.payouts.rules import BankLine, Payout
from livegift.ledger import audit
from livegift.ledger.engine import Database
from livegift.runtime.bounds import STATEMENT_SETTLES_S
from tests.booking import NOTHING_IN_REDIS, book
from tests.ledger.journals import Journal, accounts, arm

TERMS = PayoutTerms(100, 1_000_000, 5_000, 0)
IBAN = "DE89370400440532013000"


@pytest.fixture(autouse=True)
async def _ready(database: Database) -> None:
    await arm(database, range(8))
    for creator in ("cleo", "dora"):
        await payouts.write_account(database, creator, BankAccount(creator.title(), IBAN))


async def earned(database: Database, creator: str = "cleo", hold_h: int = 0) -> Earnings:
    async with database.snapshot() as connection:
        return await earnings_of(connection, creator, hold_h)


async def wrong_payouts(connection: AsyncConnection) -> tuple[int, list[str]]:
    """Invariant 8, as earnings and payouts prove it together."""
    found = [await one.find_wrong(connection, NOTHING_IN_REDIS) for one in audit_plan().invariants if one.number == 8]
    return sum(compared for compared, _ in found), [line for _, wrong in found for line in wrong]


async def passes(database: Database) -> None:
    async with database.snapshot() as connection:
        assert (await wrong_payouts(connection))[1] == []
        assert (await audit.unbalanced_assets(connection))[1] == []
        assert await audit.wrong_accounts(connection, audit_plan().legs) == []


async def give(database: Database, diamonds: int, creator: str = "cleo", partition: int = 3) -> None:
    journal = Journal(partition).credit(f"fan-{partition}", diamonds).gift(f"fan-{partition}", creator, diamonds)
    await book(database, [journal.slice()])


async def test_diamonds_are_pending_until_the_holding_period_is_over(database: Database) -> None:
    await give(database, 1_000)
    found = await earned(database, hold_h=2)
    assert (found.total, found.pending, found.available) == (1_000, 1_000, 0)
    assert found.next_at is not None
    assert timedelta(hours=2) < found.next_at - datetime.now(UTC) <= timedelta(hours=3)
    async with database.begin() as connection:  # three hours pass
        await connection.execute(text("UPDATE earned_hours SET hour = hour - interval '3 hours'"))
        await connection.execute(text("UPDATE batches SET booked_at = booked_at - interval '3 hours'"))
    await give(database, 10, partition=4)
    found = await earned(database, hold_h=2)
    assert (found.total, found.pending, found.available) == (1_010, 10, 1_000)
    assert (await earned(database, hold_h=3)).available == 0
    assert (await earned(database)).available == 1_010


async def test_a_held_sender_holds_what_he_has_earned_for_creators(database: Database) -> None:
    await give(database, 1_000)
    await give(database, 10, partition=4)
    await payouts.hold_sender(database, "fan-3", "may be a minor", "root")
    found = await earned(database)
    assert (found.pending, found.available) == (1_000, 10)
    with pytest.raises(RequestError, match="10 are available, 1000 pending"):
        await payouts.request_payout(database, "p1", "cleo", 100, TERMS)
    await payouts.hold_sender(database, "fan-3", None, "root")
    assert (await earned(database)).available == 1_010


async def test_what_was_revoked_is_neither_pending_nor_available(database: Database) -> None:
    await give(database, 1_000)
    gift = RevokedGift("3-1-2", 3, "r1", "cleo", 1_000)
    await corrections.request(database, Correction("c1", "fan-3", 1_000, "fraud", "root", gift))
    await corrections.record_decision(database, "c1", "second", approve=True)
    for hold_h in (0, 24):
        found = await earned(database, hold_h=hold_h)
        assert (found.total, found.pending, found.available) == (1_000, 1_000, 0), "the coins are on their way"
    journal = Journal(3).credit("fan-3", 1_000).gift("fan-3", "cleo", 1_000).revoke(1, "c1")
    await book(database, [journal.slice(2)])
    for hold_h in (0, 24):
        found = await earned(database, hold_h=hold_h)
        assert (found.total, found.pending, found.available) == (0, 0, 0)
    await passes(database)


@pytest.mark.parametrize("hold_h", [0, 24])
async def test_a_revocation_that_is_booked_meanwhile_makes_nothing_available(database: Database, hold_h: int) -> None:
    """The sender undoes the gift, and the creator asks for a payout until it falls between two looks at the books."""
    await give(database, 1_000)
    gift = RevokedGift("3-1-2", 3, "r1", "cleo", 1_000)
    await corrections.request(database, Correction("c1", "fan-3", 1_000, "undone", "fan-3", gift))
    await corrections.record_decision(database, "c1", "undo-window", approve=True)

    class Interrupted:
        """A connection behind whose first statement the revocation is booked."""

        def __init__(self, connection: AsyncConnection) -> None:
            self.connection, self.is_booked = connection, False

        async def execute(self, *args: Any) -> Any:
            answer = await self.connection.execute(*args)
            if not self.is_booked:
                self.is_booked = True
                journal = Journal(3).credit("fan-3", 1_000).gift("fan-3", "cleo", 1_000).revoke(1, "c1")
                await book(database, [journal.slice(2)])
            return answer

        async def scalar(self, *args: Any) -> Any:
            return (await self.execute(*args)).scalar()

    async with database.begin() as connection:
        found = await earnings_of(cast("AsyncConnection", Interrupted(connection)), "cleo", hold_h)
    assert found.available == 0, "diamonds of a gift whose coins went back"
    assert (await earned(database, hold_h=hold_h)).total == 0
    await passes(database)
    # Had it been granted, the audit would say so; who was paid before the revocation only owes it.
    async with database.begin() as connection:
        await payouts._post(connection, Payout("p1", "cleo", 1_000, 500))
        await connection.execute(
            text(
                "INSERT INTO payouts (id, creator, diamonds, amount, currency, holder, iban) "
                "VALUES ('p1', 'cleo', 1000, 500, 'USD', 'Cleo', 'x')"
            )
        )
    async with database.snapshot() as connection:
        assert (await wrong_payouts(connection))[1] == ["account diamonds:user:cleo: -1000 diamonds"]
    async with database.begin() as connection:
        await connection.execute(text("UPDATE payouts SET requested_at = requested_at - interval '1 hour'"))
    await passes(database)


async def test_many_at_once_get_no_more_than_there_is(database: Database) -> None:
    await give(database, 1_000)
    asked = [payouts.request_payout(database, f"p{n}", "cleo", 300, TERMS) for n in range(12)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 3
    assert {str(r).split(":")[0] for r in results if isinstance(r, BaseException)} == {"payout_not_possible"}
    found = await earned(database)
    assert (found.total, found.in_payout) == (100, 900)
    await passes(database)


async def test_the_same_id_is_the_same_payout_and_odd_diamonds_stay(database: Database) -> None:
    await give(database, 1_000)
    first = await payouts.request_payout(database, "p1", "cleo", 301, TERMS)
    assert (first.payout.diamonds, first.payout.amount) == (300, 150)
    assert await payouts.request_payout(database, "p1", "cleo", 301, TERMS) == first
    with pytest.raises(RequestError, match="conflict"):
        await payouts.request_payout(database, "p1", "cleo", 310, TERMS)
    with pytest.raises(RequestError, match="at least 100"):
        await payouts.request_payout(database, "p2", "cleo", 99, TERMS)
    with pytest.raises(RequestError, match="At most 100 more"):
        await payouts.request_payout(database, "p2", "cleo", 300, PayoutTerms(100, 400, 5_000, 0))
    with pytest.raises(RequestError, match="where the money goes"):
        await payouts.request_payout(database, "p3", "nobody", 300, TERMS)


async def test_nobody_approves_his_own_and_decisions_that_race_have_one_outcome(database: Database) -> None:
    await give(database, 1_000)
    await payouts.request_payout(database, "p1", "cleo", 300, TERMS)
    with pytest.raises(RequestError, match="second_person_required"):
        await payouts.move_payout(database, "p1", "approve", "cleo")
    with pytest.raises(RequestError, match="not_found"):
        await payouts.move_payout(database, "p1", "cancel", "dora", creator="dora")
    raced = await asyncio.gather(
        payouts.move_payout(database, "p1", "cancel", "cleo", creator="cleo"),
        payouts.move_payout(database, "p1", "approve", "root"),
        payouts.move_payout(database, "p1", "approve", "other"),
        return_exceptions=True,
    )
    assert any(not isinstance(result, BaseException) for result in raced)
    status = (await payouts.list_payouts(database, "cleo", None, "", 10))[0].payout.status
    assert status in ("cancelled", "approved")
    assert (await earned(database)).in_payout == (300 if status == "approved" else 0)
    await passes(database)


async def test_a_batch_is_made_once_and_settled_once(database: Database) -> None:
    await give(database, 1_000)
    for n in range(3):
        await payouts.request_payout(database, f"p{n}", "cleo", 200, TERMS)
        await payouts.move_payout(database, f"p{n}", "approve", "root")
    made = await asyncio.gather(*(payouts.make_batch(database, f"b{n % 2}", "root", 100) for n in range(6)))
    sent = {item.payout.id for batch in made for item in batch}
    assert sent == {"p0", "p1", "p2"}
    batch_id = "b0" if await payouts.read_batch(database, "b0") else "b1"
    ids = [item.payout.id for item in await payouts.read_batch(database, batch_id)]
    with pytest.raises(RequestError, match="Not in batch"):
        await payouts.settle_batch(database, batch_id, [BankLine("p9", paid=True), BankLine(ids[0], paid=True)], "root")
    assert (await earned(database)).paid == 0, "all or nothing"
    lines = [BankLine(ids[0], paid=True), BankLine(ids[1], paid=False, why="account closed")]
    results = await asyncio.gather(*(payouts.settle_batch(database, batch_id, lines, "root") for _ in range(4)))
    assert results == [ids[2:]] * 4
    with pytest.raises(RequestError, match="conflict"):
        await payouts.settle_batch(database, batch_id, [BankLine(ids[0], paid=False)], "root")
    found = await earned(database)
    assert (found.total, found.in_payout, found.paid) == (600, 200, 200)
    assert (await accounts(database))["money:bank:USD"] == 100
    await passes(database)


async def test_no_sequence_makes_or_destroys_anything_and_the_statement_says_so(database: Database) -> None:
    chance = Random(7)  # noqa: S311 - repeatable on purpose
    journals = {p: Journal(p) for p in range(4)}
    booked = dict.fromkeys(journals, 0)
    for p, journal in journals.items():
        journal.credit(f"fan-{p}", 1_000_000)
    for step in range(150):
        creator = chance.choice(("cleo", "dora"))
        match chance.randrange(6):
            case 0 | 1:
                p = chance.choice(list(journals))
                journals[p].gift(f"fan-{p}", creator, chance.randrange(1, 900))
                await book(database, [journals[p].slice(booked[p])])
                booked[p] = len(journals[p].entries)
            case 2:
                with suppress(RequestError):
                    await payouts.request_payout(database, f"p{step}", creator, chance.randrange(50, 700), TERMS)
            case 3:
                found = await payouts.list_payouts(database, None, None, "", 500)
                if found:
                    move = chance.choice(("approve", "reject", "cancel"))
                    with suppress(RequestError):
                        await payouts.move_payout(database, chance.choice(found).payout.id, move, "root")
            case 4:
                await payouts.make_batch(database, f"b{step}", "root", 2)
            case _:
                sent = await payouts.list_payouts(database, None, "sent", "", 500)
                for item in sent:
                    paid = chance.random() < 0.7
                    line = BankLine(item.payout.id, paid=paid)
                    await payouts.settle_batch(database, str(item.batch_id), [line], "root")
    await passes(database)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    period = Period(today - timedelta(days=1), today + timedelta(days=1))
    for creator in ("cleo", "dora"):
        async with database.snapshot() as connection:
            opening = await statements.balance_at(connection, creator, period.start)
            closing = await statements.balance_at(connection, creator, period.end)
            assert not await statements.is_closed(connection, period)
            pages, after = [], ""
            while page := await statements.read_lines(connection, creator, period, after, 7):
                pages += page
                after = page[-1].key
            everything = await statements.read_lines(connection, creator, period, "", 10_000)
            groups = await statements.read_groups(connection, creator, period, by_room=True)
        assert pages == everything
        assert len({line.key for line in pages}) == len(pages)
        assert [line.at for line in pages] == sorted(line.at for line in pages)
        total = (await earned(database, creator)).total
        assert (opening, closing) == (0, total)
        assert sum(line.diamonds for line in pages) == sum(group.diamonds for group in groups) == closing - opening
        gifts = [line for line in pages if line.what == "gift"]
        assert gifts
        assert all(line.batch_id and line.room == "r1" and line.sender for line in gifts)


async def test_a_closed_period_is_the_same_whatever_comes_after(database: Database) -> None:
    await give(database, 1_000)
    async with database.begin() as connection:  # it was the day before yesterday
        for table, column in (("earned_hours", "hour"), ("batches", "booked_at")):
            await connection.execute(text(f"UPDATE {table} SET {column} = {column} - interval '2 days'"))  # noqa: S608
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    period = Period(today - timedelta(days=3), today)

    async def read() -> tuple[object, ...]:
        async with database.snapshot() as connection:
            return (
                await statements.is_closed(connection, period),
                await statements.balance_at(connection, "cleo", period.end),
                await statements.read_lines(connection, "cleo", period, "", 100),
            )

    before = await read()
    now = datetime.now(UTC)
    assert before[0] == (now - today > timedelta(seconds=STATEMENT_SETTLES_S))
    await give(database, 77, partition=4)
    await corrections.request(
        database, Correction("c1", "fan-3", 1_000, "fraud", "root", RevokedGift("3-1-2", 3, "r1", "cleo", 1_000))
    )
    await corrections.record_decision(database, "c1", "second", approve=True)
    assert await read() == before


async def test_the_audit_finds_what_does_not_fit(database: Database) -> None:
    await give(database, 1_000)
    await payouts.request_payout(database, "p1", "cleo", 300, TERMS)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE payouts SET status = 'paid'"))
        await connection.execute(text("UPDATE earned_hours SET diamonds = diamonds + 1"))
        await connection.execute(text("UPDATE accounts SET balance = -1 WHERE name = 'diamonds:held:cleo'"))
    async with database.snapshot() as connection:
        compared, wrong = await wrong_payouts(connection)
    assert compared == 1
    assert (
        wrong
        == [
            "creator cleo: 1 gifts of 1001 diamonds by the hour, 1 of 1000 booked",
            "payout p1: 0 posted as 'payout.paid', expected 300",
            "payout p1: 0 posted as 'payout.paid', expected 150",
            "account diamonds:held:cleo: -1 diamonds",
        ]
        or wrong[1:3] == wrong[2:0:-1]
    )


@pytest.mark.parametrize("key", ["x", "1.2", "1.2.3.4", "1.2.x", f"{10**18}.0.5", "1.2.-6", "1.0.7-1", "1.0.7-1-"])
async def test_a_cursor_that_is_none_is_refused(database: Database, key: str) -> None:
    period = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    async with database.snapshot() as connection:
        with pytest.raises(ValueError, match="key of a line"):
            await statements.read_lines(connection, "cleo", period, key, 10)
