"""The health of the workers, by their heartbeats and by the age of the entries that wait for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from livegift.domain.partitions import Position
from livegift.runtime.bounds import LATE_PARTITIONS_MAX, RELAY_LATE_S, UNBOOKED_LATE_S
from livegift.store.leases import live_workers
from livegift.store.outbox import Outbox, PartitionState

# Role, the cursor that it moves, the past participle of what it does to entries, and how long an entry may wait.
_READERS = (
    ("relay", "relayed", "published", RELAY_LATE_S),
    ("aggregator", "booked", "booked", UNBOOKED_LATE_S),
)


@dataclass(frozen=True, slots=True)
class PartHealth:
    """A part of the system and its health, in a sentence."""

    part: str
    is_healthy: bool
    detail: str


async def examine_workers(outbox: Outbox, states: Mapping[int, PartitionState]) -> list[PartHealth]:
    """Return the health of relays and aggregators. A worker that hangs shows in the entries that wait for it.

    `states` are of the partitions that answered. Raises StoreUnavailableError.
    """
    found = []
    for role, cursor, done, late_s in _READERS:
        alive = await live_workers(outbox.store, role)
        behind = {p: waiting for p, state in states.items() if (waiting := _behind(state, getattr(state, cursor)))}
        # The oldest entry is where most entries wait, or close to it.
        most = sorted(behind, key=behind.__getitem__, reverse=True)[:LATE_PARTITIONS_MAX]
        ages_s = [age_s for p in most if (age_s := await outbox.age_after_s(p, getattr(states[p], cursor))) is not None]
        age_s = max(ages_s, default=0.0)
        waiting = sum(behind.values())
        if not alive:
            detail = f"no {role} has been seen for some seconds; {waiting} entries are not {done}"
        elif age_s > late_s:
            detail = f"{waiting} entries are not {done}, one of them for {age_s:.0f} s; {role}s that are alive: {alive}"
        else:
            detail = f"alive: {alive}; entries that are not {done} yet: {waiting}"
        found.append(PartHealth(role, bool(alive) and age_s <= late_s, detail))
    return found


def _behind(state: PartitionState, done: Position) -> int:
    return max(state.n - done.n, 0)  # n continues across epochs
