"""Data of the version before rooms had gifters and ids were opaque: it goes on, and nobody loses a rank or a coin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from sqlalchemy import text

from livegift.composition import make_settings
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, Change, LimitsSet, SetLimits
from livegift.features.grants.service import grant_coins
from livegift.features.rooms.audit import audit_room
from livegift.ledger.schema import read_event_id_key
from livegift.operations.migrate import migrate
from livegift.recovery.legacy_rooms import LegacyRoomRecovery, with_public_ids
from livegift.runtime.event_ids import KEY_BYTES, EventIds
from livegift.store import keys
from livegift.store.client import Store
from livegift.store.functions import LIBRARIES, source
from livegift.store.keys import room_root
from livegift.store.legacy_rooms import LegacyRooms
from livegift.store.rooms import Gifter, Rooms
from tests.conftest import COMMON
from tests.inprocess import InProcess, armed_again, passes
from tests.partitions import WALLET
from tests.store.live import call
from tests.waiting import wait_until

IDS = EventIds(bytes(KEY_BYTES))
USERS = ("alice", "carol", "dave", "erin")
LEGACY_EVENT = (
    b'{"type":"gift","id":"3-1-7","ts_ms":1700000000123,"count":2,"combo_id":"3-1-5","repeat_count":4,"repeat_end":false,'
    b'"coins":2,"diamonds":2,"anonymous":%b,"user":{"id":"u","name":"\\"id\\":\\"1-1-1\\""},"gift":{"id":"rose"}}'
)


@asynccontextmanager
async def started(redis_url: str, database_url: str) -> AsyncIterator[InProcess]:
    """Two rooms with streaks that go on, and four users with coins."""
    given = {**COMMON, "combo_timeout_ms": 60_000}
    settings = make_settings(redis_url=redis_url, database_url=database_url, **given)
    await migrate(settings)
    async with InProcess(settings) as system:
        for room in ("r1", "r2"):
            await system.open_room(room, "bob")
        for user in USERS:
            await system.grant(user, 1000)
        yield system


@pytest.fixture
async def running(redis_url: str, database_url: str) -> AsyncIterator[InProcess]:
    async with started(redis_url, database_url) as system:
        yield system


async def published(system: InProcess, room: str, gifts: int) -> None:
    async def done() -> bool:
        return (await Rooms(system.store).totals(room)).gifts == gifts

    await wait_until(done, f"{room} has {gifts} gifts")


async def make_older(system: InProcess, room: str) -> None:
    """What an earlier version would have in Redis for this room, and no more."""
    root, rooms = room_root(room), Rooms(system.store)
    ids = EventIds(await read_event_id_key(system.database))
    for user, gifter in (await rooms.gifters(room)).items():
        await system.store.call_plain(root, ("ZADD", f"{root}:ranks", gifter.coins, user))
    combos = await system.store.call_plain(root, ("HGETALL", f"{root}:combos"))
    for combo, event in combos.items():
        shown = orjson.loads(event)
        for name in ("id", "combo_id"):
            shown[name] = ids.place(shown[name])
        await system.store.call_plain(root, ("HSET", f"{root}:combos", combo, orjson.dumps(shown)))
    await system.store.call_plain(root, ("DEL", f"{root}:gifters", f"{root}:board"))


async def upgrade(system: InProcess) -> None:
    """What migrating leaves for the aggregator, which starts later: marks in the ledger, functions without memory."""
    await system.stop("aggregator")
    async with system.database.begin() as connection:
        await connection.execute(text("UPDATE checkpoints SET frozen_by_debts = true"))
        stamp = "INSERT INTO system VALUES ('older_rooms_until', extract(epoch FROM now())::text)"
        await connection.execute(text(stamp))
    for node in system.store.nodes:
        for library in LIBRARIES:
            await node.commands.execute_command("FUNCTION LOAD", "REPLACE", source(library))
    system.start_aggregator()
    await armed_again(system)

    async def open_again() -> bool:
        return all([await Rooms(system.store).gate(node) for node in system.store.nodes])

    await wait_until(open_again, "the gates are open again")


async def shown(system: InProcess, room: str) -> dict[str, object]:
    header = orjson.loads((await Rooms(system.store).snapshot(room)).header)
    return {name: header[name] for name in ("totals", "top", "combos")}


async def proved(system: InProcess, room: str) -> None:
    proof = await audit_room(system.database, Rooms(system.store), room)
    assert proof.passed, proof


async def is_older(system: InProcess, room: str) -> bool:
    return bool(await LegacyRooms(system.store).find([room]))


# --- Rooms ------------------------------------------------------------------------------------------------------------


async def test_live_rooms_keep_ranks_and_streaks(running: InProcess) -> None:
    await live_rooms_go_on(running)


async def test_the_same_on_a_cluster(cluster_url: str, database_url: str) -> None:
    async with started(cluster_url, database_url) as system:
        await live_rooms_go_on(system)


async def live_rooms_go_on(running: InProcess) -> None:
    for room in ("r1", "r2"):
        for user, gift in zip(USERS, ("rose", "heart", "rose", "heart"), strict=True):
            for n in range(2):
                await running.gift(user, room, "bob", gift, f"{room}-{user}-{n}")
        await published(running, room, 8)
    before = {room: await shown(running, room) for room in ("r1", "r2")}
    assert len(before["r1"]["combos"]) == len(USERS)  # type: ignore[arg-type]
    for room in before:
        await make_older(running, room)
    assert (await shown(running, "r1"))["top"] == [], "what an older room was shown as"
    await upgrade(running)
    for room, was in before.items():
        now = await shown(running, room)
        assert (now["totals"], now["top"]) == (was["totals"], was["top"])
        assert sorted(now["combos"], key=str) == sorted(was["combos"], key=str)  # type: ignore[call-overload]
        assert not await is_older(running, room)
    await running.gift("alice", "r1", "bob", "rose", "later")
    await published(running, "r1", 9)
    for room in before:
        await proved(running, room)
    await passes(running)


async def test_rooms_that_ended_long_ago_come_after_the_gates(running: InProcess) -> None:
    await running.gift("alice", "r1", "bob", "rose", "one")
    await published(running, "r1", 1)
    await make_older(running, "r1")
    root = room_root("r1")
    await running.store.call_plain(root, ("PEXPIRE", f"{root}:state", 10**7))
    async with running.database.begin() as connection:
        await connection.execute(text("UPDATE rooms SET status = 'ended', ended_at = now() - interval '9 days'"))
    await upgrade(running)

    async def converted() -> bool:
        return not await is_older(running, "r1")

    await wait_until(converted, "the room is converted")
    await proved(running, "r1")
    for suffix in ("board", "gifters"):
        assert 0 < await running.store.call_plain(root, ("PTTL", f"{root}:{suffix}")) <= 10**7, "it goes with its room"


async def test_what_a_stopped_partition_has_given_stays_in_the_ranks(running: InProcess) -> None:
    await running.gift("alice", "r1", "bob", "heart", "one")
    await running.gift("carol", "r1", "bob", "rose", "two")
    await published(running, "r1", 2)
    await passes(running)
    was = await shown(running, "r1")
    await make_older(running, "r1")
    partition = partition_of("alice", running.settings.partitions)
    async with running.database.begin() as connection:  # as if her gift had never been booked
        await connection.execute(text("DELETE FROM gifts WHERE sender = 'alice'"))
        stop = "UPDATE checkpoints SET stopped = 'somebody looks at it' WHERE partition = :partition"
        await connection.execute(text(stop), {"partition": partition})
        stamp = "INSERT INTO system VALUES ('older_rooms_until', extract(epoch FROM now())::text)"
        await connection.execute(text(stamp))
    await LegacyRoomRecovery(running.store, running.database).convert_ended()
    assert (await shown(running, "r1"))["top"] == was["top"]


async def test_a_room_that_moves_meanwhile_is_asked_again(running: InProcess) -> None:
    await running.gift("alice", "r1", "bob", "rose", "one")
    await published(running, "r1", 1)
    await make_older(running, "r1")
    older = LegacyRooms(running.store)
    found = (await older.find(["r1"]))["r1"]
    await running.gift("carol", "r1", "bob", "rose", "two")
    await published(running, "r1", 2)
    assert not await older.convert("r1", found.stamp, [Gifter("alice", 7, 7, 7)], {})
    assert not await older.convert("r1", found.stamp, [], {})
    assert "alice" not in await Rooms(running.store).gifters("r1")
    again = (await older.find(["r1"]))["r1"]
    assert await older.convert("r1", again.stamp, [Gifter("alice", 1, 1, 7), Gifter("carol", 1, 1, 8)], {})
    assert not await older.convert("r1", again.stamp, [Gifter("alice", 7, 7, 7)], {}), "once"
    assert (await Rooms(running.store).gifters("r1"))["alice"] == Gifter("alice", 1, 1, 7)


async def test_a_relay_of_the_version_before_is_refused(store: Store) -> None:
    """Its entries have a field less: fourteen of them look like thirteen."""
    entry = (0, 1, 1, "gift", 5, 5, "ann", "0", b"{}", "", b'"type":"gift"}', 1, 0)
    for count in (1, 14):
        command = call("room_publish", room_root("r1"), 100, 10, *entry * count)
        with pytest.raises(Exception, match="stop the relays of earlier ones"):
            await store.call(command)
    assert (await Rooms(store).totals("r1")).gifts == 0


@pytest.mark.parametrize(("anonymous", "ts_ms"), [(b"false", 1_700_000_000_123), (b"true", 1_700_000_000_000)])
def test_events_of_open_streaks_get_public_ids(anonymous: bytes, ts_ms: int) -> None:
    before = orjson.loads(LEGACY_EVENT % anonymous)
    after = with_public_ids(LEGACY_EVENT % anonymous, IDS)
    assert orjson.loads(after) == {**before, "id": IDS.of("3-1-7"), "combo_id": IDS.of("3-1-5"), "ts_ms": ts_ms}
    assert with_public_ids(after, IDS) == after, "again changes nothing"


# --- Wallets ----------------------------------------------------------------------------------------------------------


async def wallets_agree(system: InProcess) -> None:
    """The audit without what it says of money that no order has taken."""
    found = {check.number: check.violations for check in (await system.audit()).checks}
    assert {number: found[number] for number in (2, 9)} == {2: [], 9: []}


async def test_debtors_who_have_paid_are_thawed_and_those_that_operators_froze_are_not(running: InProcess) -> None:
    for user in USERS[:3]:
        outcome = await running.wallets.change(Change(user, "back", "h", -1500, "refund", overdraw=True))
        assert isinstance(outcome, Accepted)
    for user in USERS[1:3]:
        assert await grant_coins(running.database, running.wallets, f"more-{user}", user, 2000)
    asked = SetLimits(USERS[2], 0, None, 0, frozen=True, why="a person looks", by="op")
    assert isinstance(await running.wallets.set_limits(asked), LimitsSet)
    await wallets_agree(running)
    for user in USERS[:3]:  # as an earlier version did when they went below zero
        root = running.wallets.root_of(user)
        key = keys.wallet(root, user)
        stored = WALLET.parse((await running.store.call_plain(root, ("GET", key))).decode())
        fields = dict(zip(WALLET.kinds, stored, strict=True))
        fields["flags"] = "f" + fields["flags"].strip("f")
        await running.store.call_plain(root, ("SET", key, WALLET.text(**fields)))
    await upgrade(running)
    found = [await running.wallets.read(user) for user in USERS]
    assert [(wallet.frozen, wallet.frozen_by_operator) for wallet in found] == [
        (True, False),  # still below zero
        (False, False),
        (True, True),
        (False, False),
    ]
    await running.gift(USERS[1], "r1", "bob", "rose", "goes on")
    await wallets_agree(running)
    async with running.database.begin() as connection:
        left = "SELECT count(*) FROM checkpoints WHERE frozen_by_debts"
        assert not await connection.scalar(text(left)), "once"
