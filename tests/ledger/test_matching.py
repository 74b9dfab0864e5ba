"""Sponsor matches in the ledger: decided once, within the budget, however many aggregators book into one."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, text

from livegift.composition import audit_plan
from livegift.contract.bounds import SPONSOR_MATCHES_PER_ROOM_MAX
from livegift.contract.errors import RequestError
from livegift.features.sponsors.checks import wrong_matches
from livegift.features.sponsors.queries import (
    NewMatch,
    active_matches,
    create_match,
    end_match,
    list_matches,
    matches_to_end,
    read_match,
    shown_matches,
    unfinished_matches,
)
from livegift.features.sponsors.rules import Match, account_of
from livegift.ledger import audit, rooms
from livegift.ledger.engine import Database
from livegift.ledger.journal import Booked, CheckpointMovedError, UnbookableError
from tests.booking import NOTHING_IN_REDIS, book, book_all
from tests.ledger.journals import Journal, accounts, arm

MATCH = Match("m1", "r1", "brand", "rose", 1, 20, 0, None)


@pytest.fixture(autouse=True)
async def _armed(database: Database) -> None:
    await arm(database, range(8))
    await rooms.open_room(database, "r1", "cho", "Cho", "r1", "live")


def changed_in(booked: Booked) -> Any:
    return booked.news["sponsors"]


async def create(database: Database, match: Match = MATCH) -> None:
    await create_match(database, NewMatch(match, "hash", "Brand", "Doubles"), "root")


def brand(budget: int = 20, ref: str = "m1", partition: int = 0) -> Journal:
    """The sponsor's wallet: what it was granted, and what it has paid."""
    return Journal(partition).credit("brand", 10_000).credit("brand", -budget, ref, "sponsor")


async def begin(database: Database, match: Match = MATCH) -> Journal:
    """A match that is active; the journal of its sponsor's partition."""
    await create(database, match)
    journal = brand(match.budget_coins, match.id)
    await book(database, [journal.slice()])
    found = await read_match(database, match.id)
    assert found is not None
    assert found.match.status == "active"
    return journal


async def found(database: Database, match_id: str = "m1") -> Match:
    there = await read_match(database, match_id)
    assert there is not None
    return there.match


async def is_right(database: Database) -> None:
    async with database.snapshot() as connection:
        assert (await wrong_matches(connection, NOTHING_IN_REDIS))[1] == []
        assert await audit.wrong_accounts(connection, audit_plan().legs) == []
        assert (await audit.unbalanced_assets(connection))[1] == []


# --- Booking ----------------------------------------------------------------------------------------------------------


async def test_gifts_of_the_batch_that_books_the_payment_are_matched(database: Database) -> None:
    await create(database)
    viewer = Journal(1).credit("ann", 100).gift("ann", "cho", 1).gift("ann", "cho", 1).gift("ann", "cho", 1, room="r2")
    booked = await book(database, [brand().slice(), viewer.slice()])
    balances = await accounts(database)
    assert balances[account_of("m1")] == 18
    assert balances["coins:user:brand"] == 10_000 - 20
    assert balances["coins:sponsored:p0"] == 0
    assert (balances["coins:spent:p1"], balances["diamonds:user:cho"]) == (5, 5)
    assert [(c.diamonds, c.matched_diamonds, c.balance) for c in booked.credits] == [(5, 2, 5)]
    assert [(m.match.status, m.match.used_coins) for m in changed_in(booked)] == [("active", 2)]
    await is_right(database)


async def test_it_is_exhausted_with_what_is_too_little_for_one_more(database: Database) -> None:
    """Five coins a rose were paid, as the catalogue had it then; two matches of one gift are applied one by one."""
    await begin(database, replace(MATCH, budget_coins=12, factor=9))
    await create(database, replace(MATCH, id="m2", gift_id=None, budget_coins=1))
    await book(database, [Journal(2).credit("ann", 100).gift("ann", "cho", 5, diamonds=3).slice()])
    assert (await found(database)).used_coins == 10
    assert (await found(database)).status == "active", "a rose costs 1 coin now"
    booked = await book(database, [Journal(3).credit("ben", 100).gift("ben", "cho", 1).slice()])
    after = await found(database)
    assert (after.status, after.used_coins, after.used_diamonds) == ("exhausted", 12, 8)
    assert [m.match.status for m in changed_in(booked)] == ["exhausted"]
    await is_right(database)


async def test_what_is_left_when_it_is_exhausted_is_due(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE gift_kinds SET coins = 5 WHERE id = 'rose'"))
    journal = await begin(database, replace(MATCH, budget_coins=12))
    viewer = Journal(2).credit("ann", 100).gift("ann", "cho", 5).gift("ann", "cho", 5).gift("ann", "cho", 5)
    await book(database, [viewer.slice()])
    after = await found(database)
    assert (after.status, after.used_coins, after.due_coins) == ("exhausted", 10, 2)
    assert (await accounts(database))["coins:sponsored:p0"] == 2
    assert [m.match.id for m in await unfinished_matches(database, 0, 100, 0, 9)] == ["m1"]
    journal.credit("brand", 2, "m1", "sponsor_return")
    await book(database, [journal.slice(2)])
    after = await found(database)
    assert (after.status, after.returned_coins, after.due_coins) == ("returned", 2, 0)
    assert await unfinished_matches(database, 0, 100, 0, 9) == []
    await is_right(database)


async def test_aggregators_that_book_into_one_match_at_once_share_its_budget(database: Database) -> None:
    """Eight at once, each with gifts of two rooms with two matches each, in several batches."""
    await rooms.open_room(database, "r2", "eve", "Eve", "r2", "live")
    terms = [MATCH, replace(MATCH, id="m2", gift_id=None, budget_coins=150, factor=2)]
    terms += [replace(m, id=f"{m.id}b", room="r2", sponsor="brand") for m in terms]
    for match in terms:
        await create(database, match)
    sponsor = Journal(0).credit("brand", 10_000)
    for match in terms:
        sponsor.credit("brand", -match.budget_coins, match.id, "sponsor")
    await book(database, [sponsor.slice()])

    async def keep_booking(partition: int) -> None:
        journal, rooms_of = Journal(partition), [("r1", "cho"), ("r2", "eve")]
        journal.credit(f"ann-{partition}", 1000)
        for n in range(24):
            room, creator = rooms_of[(n + partition) % 2]
            journal.gift(f"ann-{partition}", creator, 1, room=room)
        for start in range(0, len(journal.entries), 5):
            await book(database, [journal.slice(start, start + 5)])

    await asyncio.gather(*(keep_booking(partition) for partition in range(1, 8)))
    # 84 roses a room: the first match has coins for 20, the second doubles them all twice over until 150 are used.
    for suffix in ("", "b"):
        first, second = await found(database, f"m1{suffix}"), await found(database, f"m2{suffix}")
        assert (first.status, first.used_coins) == ("exhausted", 20)
        assert (second.status, second.used_coins) == ("exhausted", 150)
    assert (await accounts(database))["diamonds:user:cho"] == 84 + 20 + 150
    await is_right(database)


async def test_a_booking_that_is_repeated_or_rolled_back_matches_once(database: Database) -> None:
    await begin(database)
    viewer = Journal(2).credit("ann", 100).gift("ann", "cho", 1)
    bad = Journal(2).credit("ann", 100).gift("ann", "cho", 1).credit("ann", 5, reason="nobody knows")
    with pytest.raises(UnbookableError):
        await book(database, [bad.slice()])
    assert (await found(database)).used_coins == 0
    await book(database, [viewer.slice()])
    with pytest.raises(CheckpointMovedError):
        await book(database, [viewer.slice()])
    assert (await found(database)).used_coins == 1
    await is_right(database)


async def test_a_booking_asks_for_matches_once(database: Database) -> None:
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "match" in statement:
            asked.append(statement)

    journal = Journal(1).credit("ann", 1000)
    for n in range(100):
        journal.gift("ann", "cho", 1, room=f"room-{n}")
    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await book(database, [journal.slice()])
    assert len(asked) == 1
    await book(database, [Journal(2).credit("ann2", 5).slice()])
    assert len(asked) == 1, "a batch without gifts asks nothing"


# --- What does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coins", "ref", "reason"), [(-19, "m1", "sponsor"), (5, "m1", "sponsor_return"), (5, "m2", "sponsor_return")]
)
async def test_an_entry_that_is_not_the_matchs_goes_to_quarantine(
    database: Database, coins: int, ref: str, reason: str
) -> None:
    await create(database)
    journal = Journal(0).credit("brand", 100).credit("brand", coins, ref, reason).credit("brand", 1)
    async for _ in book_all(database, [journal.slice()]):
        pass
    async with database.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM quarantine")) == 1
    assert (await found(database)).status == "funding"
    await is_right(database)


async def test_a_second_payment_goes_to_quarantine(database: Database) -> None:
    journal = await begin(database)
    journal.credit("brand", -20, "m1", "sponsor")
    async for _ in book_all(database, [journal.slice(2)]):
        pass
    assert (await accounts(database))[account_of("m1")] == 20
    await is_right(database)


async def test_a_payment_for_a_match_that_nobody_knows_is_due_at_once(database: Database) -> None:
    await book(database, [brand().slice()])
    after = await found(database)
    assert (after.status, after.due_coins, after.partition) == ("ended", 20, 0)
    assert [m.match.id for m in await unfinished_matches(database, 0, 100, 0, 9)] == ["m1"]
    assert await shown_matches(database, 100, 0, 9) == [], "no room has it"
    await is_right(database)


async def test_a_return_that_comes_before_the_end_ends_it(database: Database) -> None:
    """As in a ledger that was set back: it has matched another number of gifts than the first time."""
    for match_id, returned, due, status in (
        ("m1", 12, 5, "ended"),
        ("m2", 17, 0, "returned"),
        ("m3", 19, 0, "returned"),
    ):
        await create(database, replace(MATCH, id=match_id))
        partition = int(match_id[1])
        viewer = Journal(partition).credit(f"v-{match_id}", 10)
        for _ in range(3):
            viewer.gift(f"v-{match_id}", "cho", 1)
        sponsor = Journal(partition + 3).credit(f"b-{match_id}", 20).credit(f"b-{match_id}", -20, match_id, "sponsor")
        sponsor.credit(f"b-{match_id}", returned, match_id, "sponsor_return")
        async with database.begin() as connection:
            await connection.execute(
                text("UPDATE sponsor_matches SET sponsor = :s WHERE id = :id"), {"s": f"b-{match_id}", "id": match_id}
            )
        await book(database, [viewer.slice(), sponsor.slice()])
        after = await found(database, match_id)
        assert (after.status, after.used_coins, after.due_coins) == (status, 3, due)
        await is_right(database)
    assert (await accounts(database))["coins:sponsor_loss"] == -2


# --- Making and ending ------------------------------------------------------------------------------------------------


async def test_no_more_than_the_limit_at_once(database: Database) -> None:
    many = [create(database, replace(MATCH, id=f"m{n}")) for n in range(SPONSOR_MATCHES_PER_ROOM_MAX + 3)]
    done = await asyncio.gather(*many, return_exceptions=True)
    refused = [error for error in done if isinstance(error, RequestError)]
    assert [error.code for error in refused] == ["too_many_matches"] * 3
    assert len(await list_matches(database, "r1", None, 100)) == SPONSOR_MATCHES_PER_ROOM_MAX
    numbers = [match.number for match in await list_matches(database, "r1", None, 2)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(await list_matches(database, "r1", numbers[-1], 100)) == SPONSOR_MATCHES_PER_ROOM_MAX - 2


async def test_what_is_to_be_ended(database: Database) -> None:
    await begin(database)
    assert await active_matches(database, "r1")
    assert await matches_to_end(database, 0, 100, 9) == []
    for statement in (
        "UPDATE sponsor_matches SET ends_at = now() - interval '10 s'",
        "UPDATE rooms SET status = 'ended', ended_at = now() - interval '10 s'",
        "UPDATE sponsor_matches SET status = 'funding', created_at = now() - interval '1000 s'",
    ):
        async with database.begin() as connection:
            await connection.execute(text(statement))
        assert await matches_to_end(database, 5, 100, 9) == ["m1"], statement
        async with database.begin() as connection:
            await connection.execute(text("UPDATE rooms SET status = 'live', ended_at = NULL"))
            await connection.execute(
                text("UPDATE sponsor_matches SET status = 'active', ends_at = NULL, created_at = now()")
            )
    assert await matches_to_end(database, 0, 100, 9) == []


async def test_an_end_while_gifts_are_booked(database: Database) -> None:
    """Whichever comes first, what was not used is due and nothing is used after it."""
    await begin(database, replace(MATCH, budget_coins=1000))

    async def keep_booking(partition: int) -> None:
        journal = Journal(partition).credit(f"ann-{partition}", 1000)
        for _ in range(20):
            journal.gift(f"ann-{partition}", "cho", 1)
        for start in range(0, len(journal.entries), 3):
            await book(database, [journal.slice(start, start + 3)])

    await asyncio.gather(*(keep_booking(p) for p in (1, 2, 3)), *(end_match(database, "m1", "root") for _ in range(3)))
    after = await found(database)
    assert after.due_coins == 1000 - after.used_coins
    async with database.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM operator_acts WHERE act = 'match.end'")) == 1
    await is_right(database)
