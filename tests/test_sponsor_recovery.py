"""Sponsor matches when a store is lost, older or on another branch: coins are used or given back, once."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from livegift.composition import make_settings
from livegift.domain.partitions import partition_of
from livegift.features.sponsors.queries import NewMatch, StoredMatch, end_match, read_match
from livegift.features.sponsors.rules import Match
from livegift.features.sponsors.service import end_match as end_and_return
from livegift.features.sponsors.service import finish_matches, fund_match, refresh_matches
from livegift.ledger.journal import read_checkpoints
from livegift.operations.migrate import migrate
from livegift.recovery.restore import restore
from livegift.store.room_events import RoomEventPublisher
from livegift.store.rooms import Rooms
from tests.conftest import COMMON
from tests.inprocess import InProcess, armed_again, passes
from tests.ledger.journals import accounts
from tests.test_recovery import OwnRedis, nobody_books
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # whole systems, several seconds each

BUDGET = 100
COINS = 1000


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    yield own
    own.server.stop()


@pytest.fixture
async def running(own_redis: OwnRedis, database_url: str) -> AsyncIterator[InProcess]:
    settings = make_settings(redis_url=own_redis.server.url, database_url=database_url, **COMMON)
    await migrate(settings)
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user in ("alice", "brand"):
            await system.grant(user, COINS)
        yield system


async def fund(system: InProcess, match_id: str = "m1") -> StoredMatch:
    match = Match(match_id, "r1", "brand", "rose", 1, BUDGET, 0, None)
    return await fund_match(system.database, system.wallets, NewMatch(match, "h", "Brand", "Doubles"), "root")


async def state(system: InProcess, match_id: str = "m1") -> Match:
    found = await read_match(system.database, match_id)
    assert found is not None
    return found.match


async def becomes(system: InProcess, status: str, match_id: str = "m1") -> None:
    async def is_there() -> bool:
        return (await state(system, match_id)).status == status

    await wait_until(is_there, f"{match_id} is {status}", 30)


async def roses(system: InProcess, numbers: range) -> None:
    for n in numbers:
        await system.gift("alice", "r1", "bob", "rose", f"rose-{n}")


async def brand_has(system: InProcess, coins: int) -> None:
    assert (await system.wallets.read("brand")).balance == coins


async def used(system: InProcess, coins: int) -> None:
    async def is_so() -> bool:
        return (await state(system)).used_coins == coins

    await wait_until(is_so, f"{coins} coins are used")


async def test_a_payment_that_redis_has_lost_is_made_again(running: InProcess, own_redis: OwnRedis) -> None:
    """Lost before it was booked: the coins are back, so the match must not have them."""
    own_redis.copy("before")
    await armed_again(running)
    async with nobody_books(running):
        await fund(running)
        await brand_has(running, COINS - BUDGET)
        own_redis.put_back("before")
    await armed_again(running)
    assert (await state(running)).status in ("funding", "active")
    await becomes(running, "active")  # the sweep has asked again
    await brand_has(running, COINS - BUDGET)
    await passes(running)


async def test_a_payment_that_is_lost_for_good_leaves_no_match(running: InProcess, own_redis: OwnRedis) -> None:
    own_redis.copy("before")
    await armed_again(running)
    async with nobody_books(running):
        await fund(running)
        own_redis.put_back("before")
        await end_match(running.database, "m1", "root")
    await armed_again(running)
    await roses(running, range(2))
    await passes(running)
    await brand_has(running, COINS)
    assert (await state(running)).used_coins == 0


async def test_what_was_booked_stays_when_redis_comes_back_older(running: InProcess, own_redis: OwnRedis) -> None:
    own_redis.copy("before")
    await armed_again(running)
    await fund(running)
    await becomes(running, "active")
    await roses(running, range(3))
    await used(running, 3)
    own_redis.put_back("before")
    await armed_again(running)
    await brand_has(running, COINS - BUDGET)
    await fund(running)  # the same again
    await roses(running, range(5))  # three of them again
    await used(running, 5)
    await end_and_return(running.database, running.wallets, "m1", "root")
    await becomes(running, "returned")
    await brand_has(running, COINS - 5)
    await passes(running)


async def test_an_empty_redis_gets_matches_back(running: InProcess, own_redis: OwnRedis) -> None:
    await fund(running)
    await becomes(running, "active")
    await roses(running, range(2))
    await used(running, 2)
    await passes(running)
    with closing(own_redis.server.client()) as client:
        client.flushall()

    async def stopped() -> bool:
        known = await read_checkpoints(running.database)
        mine = {partition_of(user, len(known)) for user in ("alice", "brand")}
        return all("livegift restore" in (known[p].stopped or "") for p in mine)

    await wait_until(stopped, "the partitions with wallets are stopped")
    await restore(running.settings)
    await armed_again(running)
    await brand_has(running, COINS - BUDGET)

    async def is_shown() -> bool:
        header = orjson.loads((await Rooms(running.store).snapshot("r1")).header)
        return [(m["match_id"], m["used_coins"]) for m in header["kept"].get("matches", ())] == [("m1", 2)]

    await wait_until(is_shown, "the room shows the match again", 30)
    await roses(running, range(2, 4))
    await used(running, 4)
    await passes(running)


async def test_a_ledger_that_was_set_back_before_an_end(running: InProcess) -> None:
    """It books what was matched, ended and given back once more, and in the end nothing is missing."""
    await fund(running)
    await becomes(running, "active")
    await roses(running, range(2))
    await used(running, 2)
    saved = await saved_ledger(running)
    await roses(running, range(2, 6))
    await used(running, 6)
    await end_and_return(running.database, running.wallets, "m1", "root")
    await becomes(running, "returned")
    await roses(running, range(6, 9))
    await passes(running)
    await put_back(running, saved)
    await becomes(running, "returned")
    await passes(running)
    match = await state(running)
    balance = (await running.wallets.read("brand")).balance
    assert balance == COINS - BUDGET + match.returned_coins
    assert match.returned_coins >= BUDGET - match.used_coins
    assert (await accounts(running.database))["diamonds:user:bob"] == 9 + match.used_diamonds


async def test_a_ledger_that_has_forgotten_a_match_gives_its_coins_back(running: InProcess) -> None:
    saved = await saved_ledger(running)
    await fund(running)
    await becomes(running, "active")
    await roses(running, range(3))
    await used(running, 3)
    await put_back(running, saved)

    async def is_given_back() -> bool:
        found = await read_match(running.database, "m1")
        return found is not None and found.match.status == "returned"

    await wait_until(is_given_back, "the coins are back", 30)
    await brand_has(running, COINS)
    assert (await state(running)).used_coins == 0
    await passes(running)


async def test_a_ledger_that_was_set_back_to_before_a_payment_was_booked(running: InProcess) -> None:
    await running.stop("aggregator")
    await fund(running)
    saved = await running.save_ledger()
    running.start_aggregator()
    await becomes(running, "active")
    await roses(running, range(3))
    await used(running, 3)
    await put_back(running, saved)
    await used(running, 3)
    await brand_has(running, COINS - BUDGET)
    await passes(running)


async def saved_ledger(system: InProcess) -> str:
    await system.stop("aggregator")
    saved = await system.save_ledger()
    system.start_aggregator()
    await armed_again(system)
    return saved


async def put_back(system: InProcess, saved: str) -> None:
    await system.stop("aggregator")
    await system.put_back_ledger(saved)
    system.start_aggregator()
    await armed_again(system)


async def test_a_stopped_partition_and_a_lost_room_hold_no_other_up(running: InProcess, own_redis: OwnRedis) -> None:
    partitions = running.settings.partitions
    mine = partition_of("brand", partitions)
    other = next(f"b{n}" for n in range(100) if partition_of(f"b{n}", partitions) != mine)
    await running.open_room("r2", "bea")
    await running.grant(other, COINS)
    for match_id, sponsor, room in (("m1", "brand", "r1"), ("m2", other, "r2")):
        match = Match(match_id, room, sponsor, "rose", 1, BUDGET, 0, None)
        await fund_match(running.database, running.wallets, NewMatch(match, "h", "Brand", "Doubles"), "root")
    for match_id in ("m1", "m2"):
        await becomes(running, "active", match_id)
    rooms = Rooms(running.store)
    await wait_until(lambda: shows(rooms, "r1", "m1"), "the room shows it")
    async with nobody_books(running):
        for match_id in ("m1", "m2"):
            await end_match(running.database, match_id)
        await running.outbox.disarm(mine)
        await finish_matches(running.database, running.wallets)
        assert (await running.wallets.read(other)).balance == COINS
        await brand_has(running, COINS - BUDGET)
        with closing(own_redis.server.client()) as client:
            client.delete("{room:r1}:state")
        await wait_until(lambda: shows(rooms, "r2", "m2"), "the room shows it")
        await refresh_matches(running.database, RoomEventPublisher(running.store))
        assert not await shows(rooms, "r2", "m2")
    await becomes(running, "returned", "m2")
    await becomes(running, "returned", "m1")
    await brand_has(running, COINS)


async def shows(rooms: Rooms, room: str, match_id: str) -> bool:
    header = orjson.loads((await rooms.snapshot(room)).header)
    return match_id in [match["match_id"] for match in header["kept"].get("matches", ())]
