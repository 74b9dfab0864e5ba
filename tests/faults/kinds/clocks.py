"""Clocks that jump."""

import asyncio
from random import Random

from tests.faults.kinds.registry import SkippedError, fault
from tests.faults.world import World


@fault("clock-jump", "clock", weight=1)
async def clock_jump(world: World, rng: Random) -> None:
    """Let the clock of one process jump, by less or more than debits tolerate (a minute), and back again."""
    if world.clocks is None:
        raise SkippedError("there is no C compiler to make a library that shifts a process's clock")
    name = world.any_process(rng)
    world.clocks.shift(name, rng.choice((-1, 1)) * rng.choice((5.0, 45.0, 90.0, 600.0)))
    await asyncio.sleep(rng.uniform(0.3, 1.5))  # how long it is wrong
    world.clocks.shift(name, 0)
