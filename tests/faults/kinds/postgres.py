"""Faults of PostgreSQL: killed, stopped, its sessions ended, set back to an older state."""

import asyncio
from contextlib import suppress
from random import Random

import psycopg

from tests.faults.kinds.registry import fault
from tests.faults.patience import NotInTimeError, wait_patiently
from tests.faults.world import World

CAUGHT_UP_S = 10.0


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
    """End sessions at any point, mostly within a transaction."""
    for _ in range(rng.randint(1, 5)):
        await world.terminate_backends(in_transaction=rng.random() < 0.7)
        await asyncio.sleep(rng.uniform(0, 0.15))


@fault("set-back-postgres", "postgres", weight=2)
async def set_back_postgres(world: World, rng: Random) -> None:
    """Set the ledger back to what it was some time ago; the outboxes still have everything."""
    async with world.outboxes_stay:
        async with world.ledger_stays.alone():
            await world.save_ledger()
            await asyncio.sleep(rng.uniform(0.3, 1.5))  # the bookings of this time are lost
            before = await world.checkpoints()
            await world.put_back_ledger()

        async def caught_up() -> bool:
            try:
                now = await world.checkpoints()
            except (OSError, psycopg.Error):
                return False
            return all(now[p] >= at for p, at in before.items())

        # Until this is noticed, entries once booked would be trimmed as soon as memory is short, and would be missing.
        with suppress(NotInTimeError):
            await wait_patiently(caught_up, "the ledger has caught up", CAUGHT_UP_S)
