"""Redis runs out of memory: new debits stop early, what drains goes on, and gifting opens again by itself."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis as redis_py

from livegift.composition import make_settings
from livegift.contract.errors import ConfigError
from livegift.dev.embedded import RedisServer, start_redis
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, Refused
from livegift.operations.migrate import migrate
from livegift.runtime.settings import Settings
from livegift.store.client import Store
from livegift.store.server import check_servers, memory_share
from livegift.store.wallets import Unknown
from tests.conftest import COMMON
from tests.inprocess import InProcess
from tests.waiting import wait_until

FILLER_BYTES = 50_000_000  # so that buffers that come and go are no tenth of it


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with start_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[redis_py.Redis]:
    with closing(own_redis.client()) as connected:
        yield connected


@pytest.fixture
async def running(own_redis: RedisServer, database_url: str) -> AsyncIterator[InProcess]:
    settings = make_settings(redis_url=own_redis.url, database_url=database_url, **COMMON)
    await migrate(settings)
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        await system.grant("alice", 100_000)
        yield system


def set_limit(client: redis_py.Redis, share: float | None) -> None:
    """Set `maxmemory` so that `share` of it is used now; None: no limit."""
    memory = client.info("memory")
    # The buffers that the filler came through may still be there; soon they are not.
    used = int(memory["used_memory"]) - int(memory["mem_not_counted_for_evict"]) - int(memory["mem_clients_normal"])
    client.config_set("maxmemory", 0 if share is None else int(used / share))


async def test_debits_stop_at_four_fifths_and_go_on_below(running: InProcess, client: redis_py.Redis) -> None:
    first = await running.gift("alice", "r1", "bob", "heart", "before")
    client.set("filler", "x" * FILLER_BYTES)
    set_limit(client, 0.85)

    async def refused() -> bool:
        outcome = await running.try_gift("alice", "r1", "bob", "heart", uuid4().hex)
        return isinstance(outcome, Refused) and outcome.code == "unavailable"

    await wait_until(refused, "new debits are refused")
    again = await running.try_gift("alice", "r1", "bob", "heart", "before")
    assert isinstance(again, Accepted), "a known ref is answered all the same"
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    report = await running.audit()
    assert report.passed, report.to_text()
    set_limit(client, 0.5)

    async def accepted() -> bool:
        return isinstance(await running.try_gift("alice", "r1", "bob", "heart", "after"), Accepted)

    await wait_until(accepted, "gifting goes on by itself")
    report = await running.audit()
    assert report.passed, report.to_text()


async def test_what_was_accepted_is_published_and_booked_while_memory_is_full(
    running: InProcess, client: redis_py.Redis
) -> None:
    await running.stop("relay")
    await running.stop("aggregator")
    for n in range(200):
        await running.gift("alice", "r1", "bob", "rose", f"gift-{n}")
    set_limit(client, 2.0)
    outcome = await running.try_gift("alice", "r1", "bob", "rose", "too late")
    assert isinstance(outcome, Unknown), outcome
    running.start_relay()
    running.start_aggregator()
    report = await running.audit()  # waits for both
    assert report.passed, report.to_text()
    set_limit(client, None)

    async def accepted() -> bool:
        return isinstance(await running.try_gift("alice", "r1", "bob", "rose", "too late"), Accepted)

    await wait_until(accepted, "gifting goes on")
    report = await running.audit()
    assert report.passed, report.to_text()


async def test_a_redis_that_may_drop_keys_or_has_no_file_is_refused(
    own_redis: RedisServer, client: redis_py.Redis
) -> None:
    store = await Store.connect(own_redis.url)
    try:
        await check_servers(store, "fsync")
        assert await memory_share(store.nodes[0]) == 0.0
        client.config_set("appendonly", "no")
        with pytest.raises(ConfigError, match="no append-only file"):
            await check_servers(store, "fsync")
        await check_servers(store, "none")
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(ConfigError, match="may drop wallets"):
            await check_servers(store, "none")
    finally:
        await store.aclose()


async def test_a_redis_that_comes_back_with_an_old_word_of_short_memory_is_told_anew(settings: Settings) -> None:
    """The word that memory is enough again was lost with the end of the file."""
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        await system.grant("alice", 100)
        partition = partition_of("alice", settings.partitions)

        async def is_refused() -> bool:
            await system.outbox.set_short([partition], short=True)
            return not isinstance(await system.try_gift("alice", "r1", "bob", "rose", uuid4().hex), Accepted)

        await wait_until(is_refused, "the partition believes it")
        await system.outbox.disarm(partition)  # as after any restart

        async def is_taken() -> bool:
            return isinstance(await system.try_gift("alice", "r1", "bob", "rose", "ref"), Accepted)

        await wait_until(is_taken, "gifts are taken again")
