"""Unreadable entries in the journals."""

from collections.abc import Sequence
from contextlib import closing
from random import Random

from redis.exceptions import RedisError

from livegift.store.functions.partitions import partition_state
from livegift.store.keys import partition_roots
from tests.faults.kinds.registry import fault
from tests.faults.world import World
from tests.partitions import APPEND

BODIES = (
    b"",
    b"not json",
    b'["surprise", 1, 2',
    b'["gift_2","u1",1,1]',
    b'["change","u1"]',
    b"[]",
    b"\xff\x00\xfe",
    b"[" * 200,
    b'[1,0,[["u1"],[],{}]]',
    b"[1,0,[[]]]",
)


@fault("poison-entry", "poison", weight=3)
async def poison_entry(world: World, rng: Random) -> None:
    """Append unreadable entries, which go to quarantine while the rest of the journal is booked."""
    roots = partition_roots(world.settings.partitions)
    with closing(world.redis.client()) as client:
        for _ in range(rng.randint(1, 3)):
            root, head = rng.choice(roots), rng.choice(("e", "1", "3"))
            # No version of a function writes to a partition that is not armed: it may be a branch that is lost already,
            # and then two entries would have the same position.
            state = partition_state(root)
            try:
                if _armed_epoch(client.execute_command(*state)) == 0:  # type: ignore[no-untyped-call]
                    continue
                with client.pipeline(transaction=True) as together:
                    together.execute_command(*state)  # type: ignore[no-untyped-call]
                    together.eval(APPEND, 1, root, rng.choice(BODIES), head)  # type: ignore[no-untyped-call]
                    then, _ = together.execute()
            except RedisError as error:
                world.notes.append(f"poison: {error}")
            else:
                world.poisoned += 1 if head == "e" else int(head)
                if _armed_epoch(then) == 0:
                    world.notes.append(f"poison: {root} was disarmed at that very moment")


def _armed_epoch(reply: Sequence[str]) -> int:
    return int(reply[0])
