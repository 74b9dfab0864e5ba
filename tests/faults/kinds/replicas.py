"""Replicas that lag behind are promoted, and demoted primaries come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from random import Random

from livegift.dev.embedded import RedisServer
from tests.faults.kinds.registry import fault
from tests.faults.world import World
from tests.proxy import Proxy


@asynccontextmanager
async def _lagging_replica(world: World, rng: Random) -> AsyncIterator[RedisServer]:
    """A replica that has not heard the last of what its primary has done: what was on its way arrives nowhere."""
    async with Proxy(world.redis.port) as between:
        replica = await world.start_replica(between.port)
        await asyncio.sleep(rng.uniform(0, 0.3))
        between.stall()
        await asyncio.sleep(rng.uniform(0, 1.2))  # so far it lags
        yield replica
        between.refuse()


def _promote(replica: RedisServer) -> None:
    with closing(replica.client()) as client:
        client.execute_command("REPLICAOF", "NO", "ONE")


@fault("promote-replica", "replica", weight=2)
async def promote_replica(world: World, rng: Random) -> None:
    """The primary dies, a replica that lags takes its place."""
    async with _lagging_replica(world, rng) as replica:
        await world.kill_redis()
    _promote(replica)
    await world.note_loss("promote-replica", replica)
    world.move_to(replica)
    await world.go_on_after_loss()


@fault("demoted-returns", "replica", weight=1)
async def demoted_returns(world: World, rng: Random) -> None:
    """A replica is promoted, the system goes on there, and is then led back to the old primary."""
    old = world.redis
    async with _lagging_replica(world, rng) as replica:
        await world.kill_redis()
    _promote(replica)
    await world.note_loss("demoted-returns, away", replica)
    world.move_to(replica)
    await world.go_on_after_loss()
    await asyncio.sleep(rng.uniform(0.3, 2.5))  # so long the other branch grows
    await world.kill_redis()
    world.move_to(old)
    await world.start_redis_again()
    await world.note_loss("demoted-returns, back", world.redis)
    await world.go_on_after_loss()


@fault("two-primaries", "replica", weight=1)
async def two_primaries(world: World, rng: Random) -> None:
    """A replica is promoted while one process still speaks to the old primary, which takes money for a while."""
    old, left_behind = world.redis, world.any_process(rng)
    async with _lagging_replica(world, rng) as replica:
        world.keep_out({left_behind})
    _promote(replica)
    await world.note_loss("two-primaries", replica)
    world.move_to(replica, {left_behind})
    await world.go_on_after_loss()
    await asyncio.sleep(rng.uniform(0.2, 1.5))
    world.keep_out_one(left_behind)
    await asyncio.to_thread(old.kill)
    world.move_to(replica)
    await world.go_on_after_loss()
