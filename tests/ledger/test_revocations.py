"""A revocation takes back every leg of a gift, once, whatever has become of its match; the audit names what it left."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from livegift.composition import audit_plan
from livegift.features.corrections import queries as corrections
from livegift.features.corrections.checks import wrong_corrections
from livegift.features.corrections.rules import Correction
from livegift.features.earnings.queries import earnings_of
from livegift.features.payouts import queries as payouts
from livegift.features.payouts.checks import wrong_payouts
from livegift.features.sponsors import booking as matching
from livegift.features.sponsors.checks import wrong_matches
from livegift.features.sponsors.queries import NewMatch, create_match, end_match, read_match, unfinished_matches
from livegift.features.sponsors.rules import Match, account_of
from livegift.ledger import audit, room_contributions, rooms
from livegift.ledger.engine import Database
from tests.booking import NOTHING_IN_REDIS, book
from tests.ledger.journals import Journal, accounts, arm

PRICE = 1_088
MATCH = Match("m1", "r1", "brand", "rose", 9, 100_000, 0, None)


@pytest.fixture(autouse=True)
async def _armed(database: Database) -> None:
    await arm(database, range(8))
    await rooms.open_room(database, "r1", "cho", "Cho", "r1", "live")


class Books:
    """A sponsor's wallet in partition 0 and a viewer's in partition 3, booked as they are written."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.brand = Journal(0).credit("brand", 200_000)
        self.viewer = Journal(3).credit("ann", PRICE)
        self.booked = {0: 0, 3: 0}

    async def begin(self, match: Match = MATCH) -> None:
        await create_match(self.database, NewMatch(match, "hash", "Brand", "Doubles"), "root")
        self.brand.credit("brand", -match.budget_coins, match.id, "sponsor")
        await self.book()

    async def book(self) -> None:
        for journal in (self.brand, self.viewer):
            start, end = self.booked[journal.partition], len(journal.entries)
            if start < end:
                await book(self.database, [journal.slice(start)])
            self.booked[journal.partition] = end

    async def gift(self) -> int:
        """Its index in the viewer's journal."""
        self.viewer.gift("ann", "cho", PRICE)
        await self.book()
        return len(self.viewer.entries) - 1

    async def approve(self, index: int, name: str) -> Correction:
        event = f"3-1-{index + 1}"
        await corrections.request(
            self.database, await corrections.revocation_of(self.database, name, event, "undone", "ann")
        )
        return await corrections.record_decision(self.database, name, "undo-window", approve=True)

    async def undo(self, index: int, name: str, *, whole: bool = True) -> None:
        await self.approve(index, name)
        self.viewer.revoke(index, name, whole=whole)
        await self.book()

    async def match(self) -> Match:
        found = await read_match(self.database, "m1")
        assert found is not None
        return found.match

    async def wrong(self) -> list[str]:
        async with self.database.snapshot() as connection:
            return [
                *(await wrong_corrections(connection, NOTHING_IN_REDIS))[1],
                *(await wrong_matches(connection, NOTHING_IN_REDIS))[1],
                *(await wrong_payouts(connection, NOTHING_IN_REDIS))[1],
                *await audit.wrong_accounts(connection, audit_plan().legs),
                *(await audit.unbalanced_assets(connection))[1],
                *await audit.broken_chains(connection),
            ]


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


async def test_a_held_sender_holds_what_sponsors_have_added_as_well(books: Books) -> None:
    """A revocation takes back both, so neither may be paid out before."""
    await books.begin()
    await books.gift()
    await payouts.hold_sender(books.database, "ann", "a stolen card", "root")
    async with books.database.snapshot() as connection:
        found = await earnings_of(connection, "cho", 0)
    assert (found.total, found.pending, found.available) == (10 * PRICE, 10 * PRICE, 0)


async def test_sent_and_undone_ten_times_into_a_match_moves_nothing(books: Books) -> None:
    await books.begin()
    for turn in range(10):
        index = await books.gift()
        assert (await accounts(books.database))["diamonds:user:cho"] == 10 * PRICE
        assert (await books.match()).used_coins == 9 * PRICE
        await books.undo(index, f"c{turn}")
        assert await books.wrong() == []
    balances = await accounts(books.database)
    assert (balances["diamonds:user:cho"], balances["coins:user:ann"]) == (0, PRICE)
    assert (balances[account_of("m1")], balances["coins:spent:p3"]) == (100_000, 0)
    match = await books.match()
    assert (match.status, match.used_coins, match.used_diamonds) == ("active", 0, 0)
    async with books.database.snapshot() as connection:
        found = await earnings_of(connection, "cho", 24)
        assert (found.total, found.pending, found.available) == (0, 0, 0)
        assert await room_contributions.booked_gifters(connection, "r1", {3: 99}) == {}
        assert await room_contributions.booked_contributions(connection, "r1", {3: 99}) == {3: (0, 0, 0)}
        assert await room_contributions.revocations_in(connection, "r1", {3: 99}) == {
            "gifts": 10, "coins": 10 * PRICE, "diamonds": 10 * PRICE,
        }  # fmt: skip


async def test_what_comes_free_of_a_match_that_is_over_goes_to_the_sponsor(books: Books) -> None:
    await books.begin(replace(MATCH, budget_coins=9 * PRICE + 500))
    index = await books.gift()
    await end_match(books.database, "m1")
    books.brand.credit("brand", 500, "m1", "sponsor_return")  # the journal's ref is 'sponsor_return:m1'
    await books.book()
    assert (await books.match()).status == "returned"
    async with books.database.begin() as connection:  # long ago
        await connection.execute(text("UPDATE sponsor_matches SET ended_at = ended_at - interval '9 days'"))
    await books.undo(index, "c1")
    match = await books.match()
    assert (match.status, match.used_coins, match.due_coins) == ("ended", 0, 9 * PRICE)
    assert [m.match.id for m in await unfinished_matches(books.database, 0, 60, 0, 9)] == ["m1"], "due from now on"
    assert await books.wrong() == []
    books.brand.credit("brand", 9 * PRICE, "m1:500", "sponsor_return")
    await books.book()
    match = await books.match()
    assert (match.status, match.returned_coins) == ("returned", 9 * PRICE + 500)
    balances = await accounts(books.database)
    assert (balances["coins:user:brand"], balances["diamonds:user:cho"]) == (200_000, 0)
    assert await books.wrong() == []


async def test_an_exhausted_match_gives_back_what_comes_free(books: Books) -> None:
    await books.begin(replace(MATCH, budget_coins=9 * PRICE))
    index = await books.gift()
    assert (await books.match()).status == "exhausted"
    await books.undo(index, "c1")
    match = await books.match()
    assert (match.status, match.due_coins) == ("exhausted", 9 * PRICE)
    assert [m.match.id for m in await unfinished_matches(books.database, 0, 60, 0, 9)] == ["m1"]
    assert await books.wrong() == []


async def test_a_ledger_that_was_set_back_books_gift_and_revocation_together(books: Books) -> None:
    """It knows neither the correction nor what was matched: the entry says what is to be known again."""
    await books.begin()
    books.viewer.gift("ann", "cho", PRICE).revoke(1, "c1").gift("ann", "cho", PRICE).revoke(3, "c2")
    await books.book()
    balances = await accounts(books.database)
    assert (balances["diamonds:user:cho"], balances["coins:user:ann"]) == (0, PRICE)
    assert (await books.match()).used_coins == 0
    found = await corrections.read_corrections(books.database, None, "", 9)
    assert [(c.id, c.status, c.requested_by, c.coins) for c in found] == [
        ("c1", "applied", "journal", PRICE),
        ("c2", "applied", "journal", PRICE),
    ]
    assert await books.wrong() == []


async def test_one_that_was_asked_for_before_rooms_knew_stays_as_it_was(books: Books) -> None:
    await books.begin()
    index = await books.gift()
    approved = await books.approve(index, "c1")
    async with books.database.begin() as connection:  # as the migration leaves it
        await connection.execute(text("UPDATE corrections SET is_whole = false"))
    assert await corrections.revoked_gift(books.database, approved) is None
    assert [line for line in await books.wrong() if "diamonds taken back" in line] == [
        f"correction c1: 0 diamonds taken back and 0 coins given back to sponsors, expected {PRICE} and 0"
    ], "it was posted when it was approved"


# --- Each fault put back: the audit names it --------------------------------------------------------------------------


async def _keep_matches(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gift's own diamonds alone go back, as it was once."""
    monkeypatch.setattr(matching, "_take_back", lambda *_: {})
    await books.undo(await books.gift(), "c1")


async def _forget_postings(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The match gets its coins again, and the creator keeps all diamonds."""
    monkeypatch.setattr(corrections, "_moves", lambda *_: [])
    await books.undo(await books.gift(), "c1")


async def _keep_in_room(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger does not note that the room is to forget it."""

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(corrections, "note", nothing)
    await books.undo(await books.gift(), "c1")


async def _coins_alone(books: Books, _: pytest.MonkeyPatch) -> None:
    """The journal's entry says nothing of the gift."""
    await books.undo(await books.gift(), "c1", whole=False)


async def _twice(books: Books, _: pytest.MonkeyPatch) -> None:
    """Coins for one gift under two refs."""
    index = await books.gift()
    await books.undo(index, "c1")
    books.viewer.gift("ann", "cho", PRICE).revoke(index, "c2")
    await books.book()


async def _as_a_correction(books: Books, _: pytest.MonkeyPatch) -> None:
    """The journal's entry has the ref of a correction of the same id."""
    await books.undo(await books.gift(), "c1")
    async with books.database.begin() as connection:
        await connection.execute(text("UPDATE transfers SET ref = 'correction:c1' WHERE ref = 'revocation:c1'"))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (_keep_matches, f"{PRICE} diamonds taken back and 0 coins given back to sponsors, expected {10 * PRICE} and"),
        (_keep_matches, f"match m1: active, budget 100000 (paid 100000, funded 100000 of 100000), used {9 * PRICE}"),
        (_forget_postings, f"0 diamonds taken back and 0 coins given back to sponsors, expected {10 * PRICE}"),
        (_keep_in_room, "correction c1: gift 3-1-2 was taken out of its room 0 times"),
        (_coins_alone, "correction c1: gift 3-1-2 was taken out of its room 0 times"),
        (_coins_alone, f"0 diamonds taken back and 0 coins given back to sponsors, expected {10 * PRICE}"),
        (_twice, "correction c2: 1 entries of 1088 coins in all, expected none"),
        (_as_a_correction, "correction c1: 0 entries of 0 coins in all, expected one of 1088"),
    ],
)
async def test_the_audit_names_what_was_not_taken_back(
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[Books, pytest.MonkeyPatch], Awaitable[None]],
    expected: str,
) -> None:
    await books.begin()
    assert await books.wrong() == []
    await break_it(books, monkeypatch)
    found = await books.wrong()
    assert any(expected in line for line in found), found
