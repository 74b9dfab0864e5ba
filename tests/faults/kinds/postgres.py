"""Faults of PostgreSQL: killed, stopped, its sessions ended, set back to an older state."""

import asyncio
from random import Random

from tests.faults.kinds.registry import fault
from tests.faults.world import World


@fault("kill-postgres", "postgres", weight=2)
async def kill_postgres(world: World, rng: Random) -> None:
    await asyncio.to_thread(world.postgres.kill)
    await asyncio.sleep(rng.choice((0, 0.5, 2.0)))
    await world.start_postgres_again()


@fault("restart-postgres", "postgres", weight=1)
async def restart_postgres(world: World, rng: Random) -> None:
    await asyncio.to_thread(world.postgres.stop)
    await asyncio.sleep(rng.choice((0, 0.5)))
    await world.start_postgres_again()


@fault("terminate-backends", "postgres", weight=6)
async def terminate_backends(world: World, rng: Random) -> None:
    """Sessions end wherever they are, mostly within a transaction."""
    for _ in range(rng.randint(1, 5)):
        await world.terminate_backends(in_transaction=rng.random() < 0.7)
        await asyncio.sleep(rng.uniform(0, 0.15))


@fault("set-back-postgres", "postgres", weight=2)
async def set_back_postgres(world: World, rng: Random) -> None:
    """The ledger becomes what it was some time ago; the outboxes still have everything."""
    async with world.ledger_stays.alone(), world.outboxes_stay:
        await world.save_ledger()
        await asyncio.sleep(rng.uniform(0.3, 1.5))  # so much is booked, and then is not
        await world.put_back_ledger()
