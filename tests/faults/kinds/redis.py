"""Faults of Redis: killed, set back, emptied, full, without its functions."""

import asyncio
from contextlib import closing
from random import Random

from livegift.dev.embedded import RedisServer
from livegift.store.functions import VERSION
from tests.faults import files
from tests.faults.kinds.registry import fault
from tests.faults.world import World


async def _restart(world: World) -> None:
    """Start the killed server on its data; no process reaches it before the harness has recorded what is left."""
    await world.start_redis_again()


@fault("kill-redis", "redis", weight=3)
async def kill_redis(world: World, rng: Random) -> None:
    """Kill Redis by SIGKILL. It has written what it has answered, so nothing may be lost."""
    await world.kill_redis()
    await asyncio.sleep(rng.choice((0, 0, 0.5, 1.5)))
    await _restart(world)
    await world.let_in()


async def _cut_file(world: World, size: int, *, inside: bool = False) -> None:
    """Cut the append-only file. Except with `inside`, no half transaction stays, as with `redis-check-aof --fix`."""
    path = files.last_part(world.redis.data_dir)
    data = path.read_bytes()[: max(size, world.floor_of(path))]
    with path.open("r+b") as file:
        file.truncate(len(data) if inside else files.whole_end(data))


@fault("truncate-entries", "redis", weight=3)
async def truncate_entries(world: World, rng: Random) -> None:
    """End the append-only file somewhere among its last entries."""
    await world.kill_redis()
    await _cut_file(world, files.last_part(world.redis.data_dir).stat().st_size - rng.randint(1, 6_000))
    await _restart(world)
    await world.note_loss("truncate-entries", world.redis)
    await world.go_on_after_loss()


@fault("truncate-second", "redis", weight=3)
async def truncate_second(world: World, rng: Random) -> None:
    """Set the append-only file back by about a second."""
    await world.kill_redis()
    path = files.last_part(world.redis.data_dir)
    await _cut_file(world, world.sizes.at(path, rng.uniform(0.2, 2.5)))
    await _restart(world)
    await world.note_loss("truncate-second", world.redis)
    await world.go_on_after_loss()


@fault("tear-transaction", "redis", weight=1)
async def tear_transaction(world: World, rng: Random) -> None:
    """End the append-only file within a command of a transaction, and let only Redis repair it.

    Redis 8.2 cuts off the torn command but leaves the transaction open; at the next start it executes that half of it
    (see test_append_only_file.py). So Redis is killed once more.
    """
    await world.kill_redis()
    await _cut_file(world, files.last_part(world.redis.data_dir).stat().st_size - rng.randint(1, 3_000), inside=True)
    await _restart(world)
    await world.note_loss("tear-transaction", world.redis)
    await world.go_on_after_loss()
    await asyncio.sleep(rng.uniform(0.5, 3.0))  # it runs with an open transaction in its file
    await kill_redis(world, rng)


@fault("flushall", "redis", weight=1)
async def flushall(world: World, rng: Random) -> None:
    """Delete everything; an operator runs `livegift restore`."""
    checkpoints = await world.checkpoints()
    with closing(world.redis.client()) as client:
        client.flushall()
    world.note_loss_of("flushall", dict.fromkeys(checkpoints, (0, 0)), checkpoints)
    await asyncio.sleep(rng.choice((0, 0.5, 1.5)))
    await world.restore()


@fault("empty-redis", "redis", weight=1)
async def empty_redis(world: World, _: Random) -> None:
    """Kill Redis and bring it back on an empty disk: `livegift migrate`, then `livegift restore`."""
    await world.kill_redis()
    await asyncio.to_thread(files.empty, world.redis.data_dir)
    await _restart(world)
    await world.note_loss("empty-redis", world.redis)
    await world.go_on_after_loss()


@fault("out-of-memory", "redis", weight=2)
async def out_of_memory(world: World, rng: Random) -> None:
    """Lower maxmemory below what is used, and raise it again."""
    async with world.outboxes_stay:
        with closing(world.redis.client()) as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", rng.choice((used // 2, used, used * 11 // 10)))
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        with closing(world.redis.client()) as client:
            client.config_set("maxmemory", 0)


@fault("function-flush", "redis", weight=2)
async def function_flush(world: World, rng: Random) -> None:
    """Delete the functions, or one library; `livegift migrate` loads them again."""
    with closing(world.redis.client()) as client:
        if rng.random() < 0.5:
            client.function_flush()
        else:
            client.function_delete(f"livegift_{rng.choice(('wallets', 'rooms', 'leases'))}_{VERSION}")
    await asyncio.sleep(rng.choice((0, 0.5, 1.0)))
    await world.migrate()


@fault("pause-redis", "redis", weight=2)
async def pause_redis(world: World, rng: Random) -> None:
    """Pause Redis: it answers nobody for a while, then everybody late."""
    server: RedisServer = world.redis
    await world.paused_server(server, rng.uniform(0.2, 3.0))
