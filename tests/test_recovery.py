"""Redis comes back older, empty or on another branch: everything is as the ledger says, and nobody has lost a coin."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest

from livegift.composition import make_settings
from livegift.contract.errors import StoreUnavailableError
from livegift.dev.embedded import RedisServer, start_redis
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, Refused
from livegift.ledger.arming import next_room_epoch
from livegift.ledger.journal import read_checkpoints
from livegift.operations.migrate import migrate
from livegift.recovery.restore import recovery_of, restore
from livegift.recovery.rooms import RoomRecovery
from livegift.store import functions
from livegift.store.client import Node
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Rooms
from tests.conftest import COMMON
from tests.inprocess import InProcess, armed_again, passes
from tests.partitions import append, counters
from tests.waiting import wait_until

USERS = ("alice", "carol", "dave", "erin")
COINS = 1000


class OwnRedis:
    """A private Redis whose data can be set aside and put back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server: RedisServer = start_redis(folder / "redis")

    def copy(self, name: str) -> None:
        """Set aside what is on its disk now; it goes on."""
        with closing(self.server.client()) as client:
            client.execute_command("WAITAOF", 1, 0, 5000)
        self.kill()
        shutil.copytree(self.server.data_dir / "redis", self._folder / name)
        self.start()

    def put_back(self, name: str) -> None:
        """It becomes what it was when it was copied."""
        self.kill()
        shutil.rmtree(self.server.data_dir / "redis")
        shutil.copytree(self._folder / name, self.server.data_dir / "redis")
        self.start()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server = start_redis(self.server.data_dir, port=self.server.port)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    yield own
    own.server.stop()


@pytest.fixture
async def running(own_redis: OwnRedis, database_url: str) -> AsyncIterator[InProcess]:
    """Relay and aggregator on a Redis of their own, a room, and four users with coins."""
    settings = make_settings(redis_url=own_redis.server.url, database_url=database_url, **COMMON)
    await migrate(settings)
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user in USERS:
            await system.grant(user, COINS)
        yield system


async def send(system: InProcess, numbers: range, gift: str = "heart") -> list[Accepted]:
    """A gift of each user for each number."""
    return [await system.gift(user, "r1", "bob", gift, f"{gift}-{n}") for n in numbers for user in USERS]


@asynccontextmanager
async def nobody_books(system: InProcess) -> AsyncIterator[None]:
    await system.stop("aggregator")
    yield
    system.start_aggregator()


async def test_a_redis_that_only_restarts_loses_nothing(running: InProcess, own_redis: OwnRedis) -> None:
    before = await send(running, range(3))
    await passes(running)
    own_redis.kill()
    own_redis.start()
    await armed_again(running)
    again = await send(running, range(3))
    assert [a.event_id for a in again] == [b.event_id for b in before]
    assert all(a.duplicate for a in again)
    assert not any(accepted.duplicate for accepted in await send(running, range(3, 5)))
    await passes(running)


async def test_what_the_ledger_knows_and_redis_lost_is_put_back(running: InProcess, own_redis: OwnRedis) -> None:
    kept = await send(running, range(2))
    own_redis.copy("old")
    await armed_again(running)
    lost = await send(running, range(2, 5))
    await passes(running)
    own_redis.put_back("old")
    await armed_again(running)
    assert (await running.wallets.read("alice")).balance == COINS - 5 * 5
    again = await send(running, range(5))
    assert all(accepted.duplicate for accepted in again), "the refs are remembered again"
    assert [a.event_id for a in again] == [a.event_id for a in kept + lost]
    assert isinstance(await running.try_gift("alice", "r1", "bob", "rose", "heart-4", "cd"), Refused), "another payload"
    assert (await Rooms(running.store).totals("r1")).gifts == 5 * len(USERS)
    await send(running, range(5, 7))
    await passes(running)


@pytest.mark.slow
async def test_entries_of_another_branch_are_cut_off(running: InProcess, own_redis: OwnRedis) -> None:
    """Redis goes on alone, is replaced by an older self that goes on otherwise, and comes back."""
    await send(running, range(2))
    await passes(running)
    own_redis.copy("common")
    await armed_again(running)
    async with nobody_books(running):
        await send(running, range(10, 13))
        own_redis.copy("other branch")
        own_redis.put_back("common")
    await armed_again(running)
    await send(running, range(20, 22), "rose")
    await passes(running)
    own_redis.put_back("other branch")
    await armed_again(running)
    await passes(running)
    assert (await running.wallets.read("alice")).balance == COINS - 2 * 5 - 2 * 1
    news = await send(running, range(10, 13))
    assert not any(accepted.duplicate for accepted in news), "what was cut off was never accepted"
    assert all(accepted.duplicate for accepted in await send(running, range(20, 22), "rose"))
    await passes(running)


async def _die(*_: object) -> None:
    raise StoreUnavailableError("died here")


async def test_an_empty_redis_is_not_believed_but_restored(
    running: InProcess, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(running, range(3))
    await send(running, range(3), "rose")  # streaks, some of which are open
    await passes(running)
    with closing(own_redis.server.client()) as client:
        client.flushall()
        client.function_load(functions.source("wallets").replace(f"_{functions.VERSION}", "_1"))  # of an old backup

    async def all_stopped() -> bool:
        known = await read_checkpoints(running.database)
        mine = {partition_of(user, len(known)) for user in USERS}
        return all("livegift restore" in (known[p].stopped or "") for p in mine)

    await wait_until(all_stopped, "the partitions with wallets are stopped")
    with monkeypatch.context() as patch:
        # It dies between filling Redis and beginning an epoch: what was filled says of what it is.
        patch.setattr("livegift.ledger.arming.begin_epoch", _die)
        with pytest.raises(StoreUnavailableError, match="died here"):
            await restore(running.settings)
    lines = await restore(running.settings)
    assert "restored and armed" in lines[-1], lines
    assert await functions.other_versions(running.store.nodes[0]) == ()
    await armed_again(running)
    assert (await running.wallets.read("alice")).balance == COINS - 3 * 5 - 3
    assert all(a.duplicate for a in await send(running, range(3)))
    totals = await Rooms(running.store).totals("r1")
    assert (totals.gifts, totals.coins) == (24, 4 * 18)
    await send(running, range(3, 5))
    await passes(running)
    top = orjson.loads((await Rooms(running.store).snapshot("r1")).header)["top"]
    assert top[0]["coins"] == 18 + 10


async def test_a_gate_that_somebody_else_claims_meanwhile_is_opened_all_the_same(
    running: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aggregator and `livegift restore` compare the rooms of one node together, each claim voiding the other's."""
    await send(running, range(1))
    await passes(running)
    await running.stop("aggregator")
    rooms, check, checks = Rooms(running.store), RoomRecovery.check, 0

    async def check_and_claim(self: RoomRecovery, node: Node) -> dict[int, Incarnation]:
        nonlocal checks
        checks += 1
        incarnations = await check(self, node)
        if checks == 1:
            await rooms.claim_gate(node, await next_room_epoch(running.database))
        return incarnations

    monkeypatch.setattr(RoomRecovery, "check", check_and_claim)
    _, recovery = recovery_of(running.store, running.outbox, running.database, running.settings)
    await recovery.close_gates()
    await recovery.open_gates()
    assert checks > len(running.store.nodes)
    assert all([await rooms.gate(node) for node in running.store.nodes])
    running.start_aggregator()


async def test_a_ledger_that_was_set_back_catches_up(running: InProcess) -> None:
    """PostgreSQL is restored to an older state while the outbox still has what it has lost."""
    await send(running, range(2))
    await passes(running)
    await running.stop("aggregator")
    saved = await running.save_ledger()
    running.start_aggregator()
    await armed_again(running)
    await send(running, range(2, 6))
    await passes(running)
    await running.stop("aggregator")
    await running.put_back_ledger(saved)
    running.start_aggregator()
    await armed_again(running)
    await send(running, range(6, 8))
    await passes(running)


@pytest.mark.slow
async def test_wallets_and_rooms_on_different_nodes(tmp_path: Path, database_url: str) -> None:
    """What a room has published and the wallet's node then lost is revoked; what the room's node lost comes again."""
    from livegift.dev.embedded import start_redis_cluster  # noqa: PLC0415 - only here

    nodes = start_redis_cluster(tmp_path)
    try:
        settings = make_settings(redis_url=nodes[0].url, database_url=database_url, **COMMON)
        await migrate(settings)
        async with InProcess(settings) as system:
            await system.open_room("r1", "bob")
            await system.grant("alice", COINS)
            await losing_on_either_node(system, nodes, tmp_path)
    finally:
        for node in nodes:
            node.stop()


def node_at(nodes: list[RedisServer], name: str) -> int:
    return next(i for i, node in enumerate(nodes) if name.endswith(f":{node.port}"))


async def losing_on_either_node(system: InProcess, nodes: list[RedisServer], folder: Path) -> None:
    wallets = node_at(nodes, system.outbox.node_of(partition_of("alice", system.settings.partitions)).name)
    room = next(
        r
        for r in (f"room-{i}" for i in range(50))
        if node_at(nodes, system.store.node_of(f"{{room:{r}}}").name) != wallets
    )
    await system.open_room(room, "bob")
    rooms = Rooms(system.store)
    for victim in (wallets, node_at(nodes, system.store.node_of(f"{{room:{room}}}").name)):
        for n in range(3):
            await system.gift("alice", room, "bob", "heart", f"{victim}-before-{n}")
        await passes(system)
        before = await rooms.totals(room)
        replace_with_older_self(nodes, victim, folder, keep=True)
        await system.wait_reachable()
        await armed_again(system)
        await system.stop("aggregator")
        for n in range(4):
            await system.gift("alice", room, "bob", "heart", f"{victim}-lost-{n}")
        await wait_until(lambda b=before: published(rooms, room, b.gifts + 4), "the room has them")
        replace_with_older_self(nodes, victim, folder, keep=False)
        await system.wait_reachable()
        system.start_aggregator()
        await armed_again(system)
        await passes(system)
        expected = before.gifts if victim == wallets else before.gifts + 4
        await wait_until(lambda e=expected: published(rooms, room, e, exactly=True), f"{expected} gifts in the room")
        await system.gift("alice", room, "bob", "heart", f"{victim}-after")
        await passes(system)
    snapshot = await rooms.snapshot(room, 0)
    assert snapshot.header


async def published(rooms: Rooms, room: str, gifts: int, *, exactly: bool = False) -> bool:
    found = (await rooms.totals(room)).gifts
    return found == gifts if exactly else found >= gifts


def replace_with_older_self(nodes: list[RedisServer], victim: int, folder: Path, *, keep: bool) -> None:
    """Kill a node; `keep` its data for later, else put back what was kept. Then start it again."""
    node, aside = nodes[victim], folder / f"aside-{victim}"
    with closing(node.client()) as client:
        client.execute_command("WAITAOF", 1, 0, 5000)
    node.kill()
    data = node.data_dir / "redis"
    if keep:
        shutil.copytree(data, aside)
    else:
        nodes_conf = (data / "nodes.conf").read_bytes()
        shutil.rmtree(data)
        shutil.copytree(aside, data)
        (data / "nodes.conf").write_bytes(nodes_conf)
    nodes[victim] = start_redis(node.data_dir, port=node.port, cluster=True)


async def test_a_call_that_fails_half_way_is_put_right(running: InProcess, own_redis: OwnRedis) -> None:
    await send(running, range(2))
    await passes(running)
    root = running.wallets.root_of("alice")
    with closing(own_redis.server.client()) as client:
        there = counters(client, root)
        epoch, n = there["epoch"], there["n"]
        client.xadd(f"{root}:outbox", {"e": "[]"}, id=f"{epoch}-{n + 5}")  # the next entry can't be appended
    await running.stop("aggregator")
    assert not isinstance(await running.try_gift("alice", "r1", "bob", "heart", "broken"), Accepted)
    with closing(own_redis.server.client()) as client:
        client.xdel(f"{root}:outbox", f"{epoch}-{n + 5}")
    running.start_aggregator()
    await armed_again(running)
    assert (await running.wallets.read("alice")).balance == COINS - 10
    accepted = await running.gift("alice", "r1", "bob", "heart", "broken")
    assert not accepted.duplicate
    await passes(running)


async def test_poison_goes_to_quarantine_and_the_rest_goes_on(running: InProcess, own_redis: OwnRedis) -> None:
    await send(running, range(1))
    root = running.wallets.root_of("alice")
    with closing(own_redis.server.client()) as client:
        append(client, root, b'["surprise", 1, 2')
    accepted = await running.gift("alice", "r1", "bob", "heart", "behind")
    assert accepted.balance == COINS - 10
    await passes(running)
