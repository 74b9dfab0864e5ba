"""A replica that lags is promoted; the old primary comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from livegift.composition import make_settings
from livegift.contract.errors import StoreUnavailableError
from livegift.dev.embedded import RedisServer, start_redis
from livegift.dev.embedded.process import write_private
from livegift.domain.spending import Accepted
from livegift.operations.migrate import migrate
from tests.conftest import COMMON
from tests.faults.small import COINS, HEART, ROOM, OwnRedis, hearts
from tests.faults.store_proxy import StoreProxy
from tests.faults.world import REDIS_SETTINGS
from tests.inprocess import InProcess, armed_again, passes
from tests.proxy import Proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


class Pair:
    """A primary, a replica of it, and a proxy that leads to either."""

    def __init__(
        self, primary: RedisServer, replica: RedisServer, between: Proxy, proxy: StoreProxy, system: InProcess
    ) -> None:
        self.primary, self.replica, self.between, self.proxy, self.system = primary, replica, between, proxy, system

    def promote(self) -> None:
        """Promote the replica: the primary dies with what the replica has not received."""
        self.primary.kill()
        self.between.refuse()
        with closing(self.replica.client()) as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        self.proxy.lead_to(self.replica.port)

    def lead_back(self) -> None:
        """Let the old primary serve again, with its own memory of what happened."""
        self.replica.kill()
        self.primary = start_redis(self.primary.data_dir, port=self.primary.port, extra=REDIS_SETTINGS)
        self.proxy.lead_to(self.primary.port)

    async def caught_up(self) -> None:
        def same() -> bool:
            with closing(self.primary.client()) as first, closing(self.replica.client()) as second:
                keys = first.dbsize()
                offset = first.info("replication")["master_repl_offset"]
                return bool(keys == second.dbsize() and second.info("replication")["slave_repl_offset"] >= offset)

        await wait_until(same, "the replica has everything")


def follow(folder: Path, primary: RedisServer, port: int) -> RedisServer:
    folder.mkdir(mode=0o700)
    password = (primary.data_dir / "redis.password").read_text()
    write_private(folder / "redis.password", password)
    following = {"replicaof": f"127.0.0.1 {port}", "masterauth": password.strip()}
    return start_redis(folder, extra=REDIS_SETTINGS | following)


@pytest.fixture
async def pair(own_redis: OwnRedis, database_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    primary = own_redis.server
    async with Proxy(primary.port) as between, StoreProxy(primary.port) as proxy:
        settings = make_settings(redis_url=proxy.url(primary.url), database_url=database_url, **COMMON)
        await migrate(settings)
        # In a thread: its data comes through a proxy of this very loop.
        replica = await asyncio.to_thread(follow, tmp_path / "replica", primary, between.port)
        async with InProcess(settings) as system:
            await system.open_room(ROOM, "bob")
            await system.grant("alice", COINS)
            pair = Pair(primary, replica, between, proxy, system)
            yield pair
        pair.primary.kill()
        pair.replica.kill()


async def first_debit(system: InProcess, ref: str) -> object:
    """Send a gift that may arrive before the new primary was compared."""
    try:
        return await system.try_gift("alice", ROOM, "bob", "heart", ref)
    except StoreUnavailableError as error:
        return error


async def test_a_lagging_replica_takes_no_money_before_it_was_put_right(pair: Pair) -> None:
    system = pair.system
    await hearts(system, 0, 2)
    await pair.caught_up()
    pair.between.stall()
    await hearts(system, 2, 3)
    await passes(system)  # booked: a durability of fsync does not wait for replicas
    await system.stop("aggregator")
    pair.promote()
    for number in range(5):
        assert not isinstance(await first_debit(system, f"early-{number}"), Accepted)
    system.start_aggregator()
    await armed_again(system)
    wallet = await system.wallets.read("alice")
    assert (wallet.balance, wallet.seq) == (COINS - 5 * HEART, 6)
    for number in range(5):
        assert (await system.gift("alice", ROOM, "bob", "heart", f"k{number}")).duplicate
    await hearts(system, 5, 2)
    await passes(system)


async def test_what_nobody_has_booked_is_gone_with_its_coins(pair: Pair) -> None:
    system = pair.system
    await hearts(system, 0, 2)
    await passes(system)
    await pair.caught_up()
    await system.stop("aggregator")
    pair.between.stall()
    await hearts(system, 2, 3)
    pair.promote()
    system.start_aggregator()
    await armed_again(system)
    assert (await system.wallets.read("alice")).balance == COINS - 2 * HEART
    await hearts(system, 2, 3)  # their refs can be used again
    await passes(system)


async def test_the_demoted_primary_comes_back_with_its_own_branch(pair: Pair) -> None:
    system = pair.system
    await hearts(system, 0, 2)
    await passes(system)
    await pair.caught_up()
    await system.stop("aggregator")
    pair.between.stall()
    await hearts(system, 10, 3)  # only the old primary knows
    pair.promote()
    system.start_aggregator()
    await armed_again(system)
    await hearts(system, 20, 4)
    await passes(system)
    pair.lead_back()
    await armed_again(system)
    wallet = await system.wallets.read("alice")
    assert (wallet.balance, wallet.seq) == (COINS - 6 * HEART, 7)
    await hearts(system, 10, 3)
    assert (await system.gift("alice", ROOM, "bob", "heart", "k20")).duplicate
    await passes(system)
