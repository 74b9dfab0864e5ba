"""Faults of connections: cut, stalled, and replies that are lost after the effect."""

import asyncio
from random import Random

from livegift.store.functions import VERSION
from tests.faults.kinds.registry import fault
from tests.faults.world import World


def _names(*functions: str) -> list[bytes]:
    return [f"{function}_{VERSION}".encode() for function in functions]


# Commands of the processes to the stores: the reply to the next one of these is lost.
REDIS_MARKERS = {
    "web": _names("gift_send"),
    "relay": _names("room_publish", "cursor_advance", "lease_take"),
    "aggregator": _names("partition_arm", "partition_disarm", "barrier", "cursor_advance"),
}


@fault("cut-redis", "network", weight=3)
async def cut_redis(world: World, rng: Random) -> None:
    """End all connections of one process to Redis."""
    for _ in range(rng.randint(1, 3)):
        world.redis_proxies[world.any_process(rng)].cut()
        await asyncio.sleep(rng.uniform(0, 0.2))


@fault("cut-postgres", "network", weight=3)
async def cut_postgres(world: World, rng: Random) -> None:
    for _ in range(rng.randint(1, 3)):
        world.postgres_proxies[world.one_of(rng, rng.choice(("web", "aggregator", "aggregator")))].cut()
        await asyncio.sleep(rng.uniform(0, 0.2))


@fault("lose-redis-reply", "network", weight=6)
async def lose_redis_reply(world: World, rng: Random) -> None:
    """Let Redis act and lose its reply, all of it or from some byte on."""
    role = rng.choice(("web", "web", "relay", "aggregator"))
    name = world.one_of(rng, role)
    world.redis_proxies[name].cut_reply(after=rng.choice(REDIS_MARKERS[role]), bytes_max=rng.choice((0, 0, 1, 20, 200)))
    await asyncio.sleep(rng.uniform(0.1, 0.4))


@fault("lose-commit-reply", "network", weight=6)
async def lose_commit_reply(world: World, rng: Random) -> None:
    """Let PostgreSQL commit without the aggregator learning of it."""
    for name in world.names("aggregator"):
        world.postgres_proxies[name].cut_reply(after=b"COMMIT")
    await asyncio.sleep(rng.uniform(0.1, 0.5))


@fault("stall-redis", "network", weight=2)
async def stall_redis(world: World, rng: Random) -> None:
    """Stop all data between one process and Redis, in both directions or one; then let it all arrive late."""
    proxy = world.redis_proxies[world.any_process(rng)]
    both = rng.random() < 0.4
    to_server = both or rng.random() < 0.5
    proxy.stall(to_server=to_server, to_client=both or not to_server)
    await asyncio.sleep(rng.uniform(0.1, 2.5))
    proxy.resume()


@fault("stall-postgres", "network", weight=1)
async def stall_postgres(world: World, rng: Random) -> None:
    proxy = world.postgres_proxies[world.one_of(rng, rng.choice(("web", "aggregator")))]
    proxy.stall()
    await asyncio.sleep(rng.uniform(0.1, 2.0))
    proxy.resume()


@fault("refuse-redis", "network", weight=2)
async def refuse_redis(world: World, rng: Random) -> None:
    """Keep one process from reaching Redis for a while."""
    proxy = world.redis_proxies[world.any_process(rng)]
    proxy.close_for("refuse-redis")
    await asyncio.sleep(rng.uniform(0.1, 1.5))
    await proxy.open_for("refuse-redis")
