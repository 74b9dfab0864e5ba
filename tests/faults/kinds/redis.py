"""Faults of Redis: killed, older, empty, full, without its functions."""

import asyncio
from contextlib import closing
from random import Random

from livegift.dev.embedded import RedisServer
from tests.faults import files
from tests.faults.kinds.registry import fault
from tests.faults.world import World


async def _restart(world: World) -> None:
    """Start the killed server on its data; nobody reaches it before the harness has noted what it has left."""
    await world.start_redis_again()


@fault("kill-redis", "redis", weight=3)
async def kill_redis(world: World, rng: Random) -> None:
    """kill -9. What Redis has answered it has written: nothing may be lost."""
    await world.kill_redis()
    await asyncio.sleep(rng.choice((0, 0, 0.5, 1.5)))
    await _restart(world)
    await world.let_in()


async def _cut_file(world: World, size: int, *, inside: bool = False) -> None:
    """Cut the append-only file; but for `inside` no transaction stays half there, as `redis-check-aof --fix` cuts."""
    path = files.last_part(world.redis.data_dir)
    data = path.read_bytes()[: max(size, world.floor_of(path))]
    with path.open("r+b") as file:
        file.truncate(len(data) if inside else files.whole_end(data))


@fault("truncate-entries", "redis", weight=3)
async def truncate_entries(world: World, rng: Random) -> None:
    """The append-only file ends somewhere among its last entries."""
    await world.kill_redis()
    await _cut_file(world, files.last_part(world.redis.data_dir).stat().st_size - rng.randint(1, 6_000))
    await _restart(world)
    await world.note_loss("truncate-entries", world.redis)
    await world.go_on_after_loss()


@fault("truncate-second", "redis", weight=3)
async def truncate_second(world: World, rng: Random) -> None:
    """The append-only file is what it was about a second ago."""
    await world.kill_redis()
    path = files.last_part(world.redis.data_dir)
    await _cut_file(world, world.sizes.at(path, rng.uniform(0.2, 2.5)))
    await _restart(world)
    await world.note_loss("truncate-second", world.redis)
    await world.go_on_after_loss()


@fault("tear-transaction", "redis", weight=1)
async def tear_transaction(world: World, rng: Random) -> None:
    """The append-only file ends within a command of a transaction, and nobody but Redis repairs it.

    Redis 8.2 cuts the torn command away but leaves the transaction open; at the next start it executes the half of it
    (see test_append_only_file.py). So it is killed once more.
    """
    await world.kill_redis()
    await _cut_file(world, files.last_part(world.redis.data_dir).stat().st_size - rng.randint(1, 3_000), inside=True)
    await _restart(world)
    await world.note_loss("tear-transaction", world.redis)
    await world.go_on_after_loss()
    await asyncio.sleep(rng.uniform(0.5, 3.0))  # so long it goes on, with an open transaction in its file
    await kill_redis(world, rng)


@fault("flushall", "redis", weight=1)
async def flushall(world: World, rng: Random) -> None:
    """Everything is gone; a person says `livegift restore`."""
    checkpoints = await world.checkpoints()
    with closing(world.redis.client()) as client:
        client.flushall()
    world.note_loss_of("flushall", dict.fromkeys(checkpoints, (0, 0)), checkpoints)
    await asyncio.sleep(rng.choice((0, 0.5, 1.5)))
    await world.restore()


@fault("empty-redis", "redis", weight=1)
async def empty_redis(world: World, _: Random) -> None:
    """Killed, and comes back on an empty disk: `livegift migrate`, then `livegift restore`."""
    await world.kill_redis()
    await asyncio.to_thread(files.empty, world.redis.data_dir)
    await _restart(world)
    await world.note_loss("empty-redis", world.redis)
    await world.go_on_after_loss()


@fault("out-of-memory", "redis", weight=2)
async def out_of_memory(world: World, rng: Random) -> None:
    """maxmemory falls below what is used, and rises again."""
    async with world.outboxes_stay:
        with closing(world.redis.client()) as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", rng.choice((used // 2, used, used * 11 // 10)))
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        with closing(world.redis.client()) as client:
            client.config_set("maxmemory", 0)


@fault("function-flush", "redis", weight=2)
async def function_flush(world: World, rng: Random) -> None:
    """The functions are gone, or one library is; `livegift migrate` loads them again."""
    with closing(world.redis.client()) as client:
        if rng.random() < 0.5:
            client.function_flush()
        else:
            client.function_delete(f"livegift_{rng.choice(('wallets', 'rooms', 'leases'))}_1")
    await asyncio.sleep(rng.choice((0, 0.5, 1.0)))
    await world.migrate()


@fault("pause-redis", "redis", weight=2)
async def pause_redis(world: World, rng: Random) -> None:
    """Redis answers nobody for a while, then everybody late."""
    server: RedisServer = world.redis
    await world.paused_server(server, rng.uniform(0.2, 3.0))
