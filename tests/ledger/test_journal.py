"""Booking: each entry exactly once, and nothing of a journal that does not fit."""

import asyncio
from random import Random

import pytest
from sqlalchemy import text

from livegift.composition import audit_plan
from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.errors import PartitionStoppedError
from livegift.contract.journal import GiftSent
from livegift.domain.partitions import Position
from livegift.features.grants.queries import begin_grant
from livegift.ledger import audit
from livegift.ledger.arming import all_bases, lock_checkpoint, set_stopped
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.ledger.journal import Booked, Checkpoint, CheckpointMovedError, Credit, UnbookableError, read_checkpoints
from livegift.ledger.slices import JournalSlice
from tests.booking import book
from tests.ledger.journals import Journal, accounts, arm, assert_sums_are_zero, everything
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
async def _armed(database: Database) -> None:
    await arm(database, range(8))


def usual(partition: int = 3) -> Journal:
    """Two senders, two creators, a streak's end."""
    journal = Journal(partition).credit("ann", 100).credit("bob", 50)
    journal.gift("ann", "dan", 30).gift("bob", "eve", 5, diamonds=2).streak_end("ann", "dan").gift("ann", "dan", 1)
    return journal


# --- What is booked ---------------------------------------------------------------------------------------------------


async def test_a_batch_becomes_rows_accounts_heads_and_a_checkpoint(database: Database) -> None:
    journal = usual()
    booked = await book(database, [journal.slice()])
    assert (booked.gifts, booked.transfers) == (3, 2)
    assert await accounts(database) == {
        "coins:user:ann": 69,
        "coins:user:bob": 45,
        "coins:granted:p3": -150,
        "coins:spent:p3": 36,
        "diamonds:issued:p3": -33,
        "diamonds:user:dan": 31,
        "diamonds:user:eve": 2,
    }
    assert (await read_checkpoints(database, [3]))[3] == Checkpoint(3, Position(1, 6), None, 3, 36)
    found = await everything(database)
    assert [row[:5] for row in found["wallet_heads"]] == [("ann", 3, 1, 3, 69), ("bob", 3, 1, 2, 45)]
    assert [(row[2], row[4], row[5], row[6]) for row in found["gifts"]] == [
        (3, "ann", 2, 70),
        (4, "bob", 2, 45),
        (6, "ann", 3, 69),
    ]
    assert {row[3] for table in ("gifts", "transfers") for row in found[table]} == {booked.batch_id}


async def test_every_field_of_a_gift_is_kept(database: Database) -> None:
    journal = usual()
    await book(database, [journal.slice()])
    async with database.begin() as connection:
        row = (await connection.execute(text("SELECT * FROM gifts WHERE n = 4"))).one()
    gift = journal.entries[3][1]
    assert isinstance(gift, GiftSent)
    for column, name in {"sender": "user", "receiver": "to"}.items():
        assert row._mapping[column] == getattr(gift, name)
    for name in ("wallet_seq", "balance", "ref", "room", "gift_id", "count", "coins", "diamonds", "combo_id"):
        assert row._mapping[name] == getattr(gift, name)
    assert (row.repeat_count, row.anonymous, row.ts_ms) == (gift.repeat_count, gift.anonymous, gift.ts_ms)


async def test_credits_come_back_with_the_balances_after_them(database: Database) -> None:
    journal = usual()
    booked = await book(database, [journal.slice()])
    assert booked.credits == (Credit("dan", 31, 31), Credit("eve", 2, 2))
    journal.gift("ann", "dan", 9).gift("bob", "fay", 5, diamonds=0)
    booked = await book(database, [journal.slice(6)])
    assert booked.credits == (Credit("dan", 9, 40),), "who got nothing is told nothing"


async def test_the_largest_amounts_are_exact(database: Database) -> None:
    journal = Journal(0)
    for number in range(3):
        journal.credit("ann", AMOUNT_MAX, str(number)).gift("ann", "dan", AMOUNT_MAX)
    await book(database, [journal.slice()])
    assert (await accounts(database))["diamonds:user:dan"] == 3 * AMOUNT_MAX
    await assert_sums_are_zero(database)


async def test_corrections_of_both_signs_are_booked(database: Database) -> None:
    journal = Journal(0).credit("ann", 10).credit("ann", -25, "back", "refund").credit("ann", 5, "x", "correction")
    await book(database, [journal.slice()])
    assert await accounts(database) == {
        "coins:user:ann": -10,
        "coins:granted:p0": -10,
        "coins:refunded:p0": 25,
        "coins:corrected:p0": -5,
    }
    async with database.begin() as connection:
        assert await audit.broken_chains(connection) == []


async def test_a_grant_is_credited_in_the_booking_itself(database: Database) -> None:
    for ref, user in (("one", "ann"), ("two", "bob")):
        assert (await begin_grant(database, ref, user, 100)).status == "pending"
    await book(database, [Journal(0).credit("ann", 100, "one").slice()])
    assert (await begin_grant(database, "one", "ann", 100)).status == "credited"
    assert (await begin_grant(database, "two", "bob", 100)).status == "pending"


async def test_a_journal_in_any_pieces_gives_the_same(database: Database) -> None:
    chance = Random(7)  # noqa: S311 - a choice, no secret
    journals = [Journal(partition).credit(f"user-{partition}", 10**6) for partition in range(4)]
    for journal in journals:
        user = f"user-{journal.partition}"
        for _ in range(60):
            kind, creator = chance.choice("ggggce"), f"creator-{chance.randrange(3)}"
            if kind == "g":
                journal.gift(user, creator, chance.randrange(1, 500), chance.randrange(500))
            elif kind == "c":
                journal.credit(user, chance.choice((-7, 100)), str(chance.random()), "correction")
            else:
                journal.streak_end(user, creator)
    reached = [0] * 4
    while any(at < len(journal.entries) for at, journal in zip(reached, journals, strict=True)):
        slices = []
        for index, journal in enumerate(journals):
            end = min(len(journal.entries), reached[index] + chance.randrange(12))
            if end > reached[index]:
                slices.append(journal.slice(reached[index], end))
                reached[index] = end
        if slices:
            await book(database, slices)
    for journal in journals:
        user = f"user-{journal.partition}"
        assert (await accounts(database))[f"coins:user:{user}"] == journal.wallets[user][1]
    await assert_sums_are_zero(database)
    async with database.snapshot() as connection:
        assert await audit.wrong_accounts(connection, audit_plan().legs) == []
        assert await audit.broken_chains(connection) == []


async def test_the_journal_goes_on_in_another_epoch(database: Database) -> None:
    journal = usual()
    await book(database, [journal.slice()])
    await arm(database, [3], epoch=5)
    journal.epoch = 5
    journal.gift("ann", "dan", 2)
    (position, entry) = journal.entries[6]
    await book(database, [JournalSlice(3, Position(5, 6), ((position, entry),))])
    assert (await read_checkpoints(database, [3]))[3].position == Position(5, 7)
    with pytest.raises(CheckpointMovedError):  # who reads a Redis of the epoch before has nothing to say
        await book(database, [journal.slice(6)])


# --- Exactly once -----------------------------------------------------------------------------------------------------


async def test_the_same_slice_again_is_not_booked(database: Database) -> None:
    piece = usual().slice()
    await book(database, [piece])
    before = await everything(database)
    with pytest.raises(CheckpointMovedError) as moved:
        await book(database, [piece])
    assert moved.value.partitions == (3,)
    assert await everything(database) == before


async def test_a_slice_that_overlaps_is_not_booked(database: Database) -> None:
    journal = usual()
    await book(database, [journal.slice(0, 4)])
    before = await everything(database)
    for start, end in ((0, 6), (2, 6), (3, 5), (5, 6)):
        with pytest.raises(CheckpointMovedError):
            await book(database, [journal.slice(start, end)])
    assert await everything(database) == before
    await book(database, [journal.slice(4, 6)])


async def test_one_moved_checkpoint_holds_the_whole_batch(database: Database) -> None:
    one, other = usual(1), Journal(2).credit("cyd", 10)
    await book(database, [one.slice()])
    before = await everything(database)
    with pytest.raises(CheckpointMovedError) as moved:
        await book(database, [other.slice(), one.slice()])
    assert moved.value.partitions == (1,)
    assert await everything(database) == before


async def test_a_partition_that_the_ledger_does_not_know_is_not_booked(database: Database) -> None:
    before = await everything(database)
    with pytest.raises(CheckpointMovedError):
        await book(database, [Journal(99).credit("ann", 5).slice()])
    assert await everything(database) == before


async def test_of_those_who_book_the_same_at_once_one_wins(database: Database) -> None:
    competitors = 5
    piece = usual().slice()
    results = await asyncio.gather(*(book(database, [piece]) for _ in range(competitors)), return_exceptions=True)
    assert sum(isinstance(result, Booked) for result in results) == 1
    assert sum(isinstance(result, CheckpointMovedError) for result in results) == competitors - 1
    assert (await accounts(database))["diamonds:user:dan"] == 31
    await assert_sums_are_zero(database)


async def test_batches_of_different_partitions_never_wait_in_a_circle(database: Database) -> None:
    """All have the same creators, named in another order each time: unsorted updates would deadlock."""
    count, rounds = 20, 5
    many = Database(database.engine.url.render_as_string(hide_password=False), pool_max=count)
    await arm(database, range(8, count))
    chance = Random(1)  # noqa: S311 - a choice, no secret
    creators = [f"creator-{number}" for number in range(30)]
    journals = [Journal(partition).credit(f"user-{partition}", 10**6) for partition in range(count)]
    try:
        for _ in range(rounds):
            slices = []
            for journal in journals:
                start = len(journal.entries) if journal.slice().after.n or len(journal.entries) > 1 else 0
                for creator in chance.sample(creators, len(creators)):
                    journal.gift(f"user-{journal.partition}", creator, 2)
                slices.append(journal.slice(start))
            booked = await asyncio.gather(*(book(many, [piece]) for piece in slices))
            assert sum(result.gifts for result in booked) == count * len(creators)
    finally:
        await many.aclose()
    found = await accounts(database)
    assert {found[f"diamonds:user:{creator}"] for creator in creators} == {2 * count * rounds}
    await assert_sums_are_zero(database)


# --- What stops a partition -------------------------------------------------------------------------------------------


async def assert_stops(database: Database, *slices: JournalSlice, partition: int = 3) -> str:
    """The reason for which nothing was booked."""
    before = await everything(database)
    with pytest.raises(PartitionStoppedError) as stopped:
        await book(database, list(slices))
    assert stopped.value.partition == partition
    assert await everything(database) == before
    return stopped.value.reason


async def test_a_hole_or_a_step_back(database: Database) -> None:
    await arm(database, [3], epoch=2)
    for positions in (
        [(1, 1)],
        [(2, 1), (2, 3)],
        [(2, 1), (2, 1)],
        [(2, 1), (2, 2), (2, 1)],
        [(2, 0)],
        [(2, 1), (1, 2)],
        [(3, 2)],
        [(2, 2)],
    ):
        journal = Journal(3)
        for number in range(len(positions)):
            journal.credit("ann", 10, str(number))
        moved = zip(positions, journal.entries, strict=True)
        entries = tuple((Position(*position), entry) for position, (_, entry) in moved)
        reason = await assert_stops(database, JournalSlice(3, Position(2, 0), entries))
        assert "the journal goes on at" in reason
        assert "expected n" in reason


async def test_a_ledger_that_was_set_back_learns_the_epochs_it_has_lost(database: Database) -> None:
    journal = Journal(3).credit("ann", 10, "1").credit("ann", 10, "2")
    journal.epoch = 4
    journal.credit("ann", 10, "3")
    await book(database, [JournalSlice(3, Position(1, 0), tuple(journal.entries))])
    assert (await read_checkpoints(database, [3]))[3].position == Position(4, 3)
    async with database.begin() as connection:
        assert (await all_bases(connection))[3] == {1: 0, 4: 2}


async def test_a_stopped_partition_stays_stopped(database: Database) -> None:
    assert await set_stopped(database, 3, "somebody has to look")
    assert await assert_stops(database, usual().slice()) == "somebody has to look"
    assert (await read_checkpoints(database, [3]))[3].stopped == "somebody has to look"


async def test_one_bad_journal_holds_the_whole_batch(database: Database) -> None:
    good, bad = Journal(1).credit("ann", 5), usual(3)
    del bad.entries[2]
    await assert_stops(database, good.slice(), bad.slice())
    assert (await book(database, [good.slice()])).transfers == 1


@pytest.mark.parametrize("kind", ["gift", "change"])
async def test_a_wallet_that_has_forked(database: Database, kind: str) -> None:
    """It is booked up to seq 3 with 69 coins; the journal goes on with an entry that follows on something else."""
    await book(database, [usual().slice()])
    for fork in (
        (3, 70),  # another balance
        (2, 69),  # the entry's seq is booked already
        (2, 70),
        (1, 100),
        (0, 0),  # the wallet begins again
        (4, 69),  # an entry is missing
    ):
        journal = usual()
        journal.wallets["ann"] = fork
        if kind == "gift":
            journal.gift("ann", "dan", 5)
        else:
            journal.credit("ann", 5, "more", "correction")
        assert "ann" in await assert_stops(database, journal.slice(6)), fork


async def test_a_wallet_that_forks_within_a_batch(database: Database) -> None:
    for fork in ((3, 60), (2, 69), (5, 69)):
        journal = usual()
        journal.wallets["ann"] = fork
        journal.gift("ann", "dan", 5)
        assert "ann" in await assert_stops(database, journal.slice()), fork


async def test_a_wallet_that_appears_in_two_partitions(database: Database) -> None:
    await book(database, [usual(3).slice()])
    assert "ann" in await assert_stops(database, Journal(5).credit("ann", 5).slice(), partition=5)


# --- Epochs, and PostgreSQL away --------------------------------------------------------------------------------------


async def test_a_booking_waits_for_who_arms(database: Database) -> None:
    journal = usual()
    async with database.begin() as connection:
        await lock_checkpoint(connection, 3)
        booking = asyncio.create_task(book(database, [journal.slice()]))
        await wait_until(lambda: waiting_for_a_lock(database), "the booking waits")
        assert not booking.done()
    assert (await booking).gifts == 3


async def waiting_for_a_lock(database: Database) -> list[int]:
    async with database.begin() as connection:
        rows = await connection.execute(
            text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        )
        return [row.pid for row in rows]


async def test_a_connection_that_breaks_in_the_middle_books_nothing(database: Database) -> None:
    """At each step of the transaction, the COPY included."""
    journal = usual()
    before = await everything(database)
    for table in ("checkpoints", "gifts", "wallet_heads", "accounts"):
        async with database.begin() as connection:
            await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            booking = asyncio.create_task(book(database, [journal.slice()]))
            await wait_until(lambda: waiting_for_a_lock(database), f"the booking waits for {table}")
            for pid in await waiting_for_a_lock(database):
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            with pytest.raises(LedgerUnavailableError):
                await booking
        assert await everything(database) == before
    assert (await book(database, [journal.slice()])).gifts == 3, "the pool has thrown the connection away"


async def test_a_reason_that_nobody_knows_is_refused(database: Database) -> None:
    before = await everything(database)
    with pytest.raises(UnbookableError, match="theft"):
        await book(database, [Journal(3).credit("ann", 5, "x", "theft").slice()])
    assert await everything(database) == before
