"""Faults of our own processes."""

import asyncio
import signal
from random import Random

from tests.faults.kinds.registry import fault
from tests.faults.world import World

# Longer than any lease (9 s): the other process takes over, then there are two owners for a moment.
LEASE_OUTLIVED_S = 10.0


async def _kill(world: World, rng: Random, role: str) -> None:
    name = world.one_of(rng, role)
    world.kill(name)
    await asyncio.sleep(rng.choice((0, 0, 0.3)))  # how long it is gone
    world.start(name)


@fault("kill-web", "process")
async def kill_web(world: World, rng: Random) -> None:
    await _kill(world, rng, "web")


@fault("kill-relay", "process")
async def kill_relay(world: World, rng: Random) -> None:
    await _kill(world, rng, "relay")


@fault("kill-aggregator", "process", weight=3)
async def kill_aggregator(world: World, rng: Random) -> None:
    await _kill(world, rng, "aggregator")


async def _pause(world: World, name: str, seconds: float) -> None:
    """Stop a process by SIGSTOP for a while: it does not know that time has passed."""
    process = world.system.processes[name]
    world.paused.add(name)
    try:
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        process.send_signal(signal.SIGCONT)
        world.paused.discard(name)


@fault("pause-web", "process", weight=1)
async def pause_web(world: World, rng: Random) -> None:
    await _pause(world, world.one_of(rng, "web"), rng.uniform(0.2, 2.5))


@fault("pause-relay", "process", weight=1, in_background=True)
async def pause_relay(world: World, rng: Random) -> None:
    await _pause(world, world.one_of(rng, "relay"), LEASE_OUTLIVED_S + rng.uniform(0, 2))


@fault("pause-aggregator", "process", weight=1, in_background=True)
async def pause_aggregator(world: World, rng: Random) -> None:
    await _pause(world, world.one_of(rng, "aggregator"), LEASE_OUTLIVED_S + rng.uniform(0, 2))
