"""What a Redis that was away has lost, and what it has too much: the comparison behind arming. See decision 007.

A partition's history is a chain of positions. Each arming begins an epoch at the last `n` that the ledger had booked,
its *base*; whatever an older epoch wrote beyond a later epoch's base is a branch that was cut off. So two numbers, the
epoch and the `n` that Redis says of itself, and the bases tell exactly which entries both sides have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from livegift.domain.partitions import Position


class Step(StrEnum):
    """What has to happen before a partition may take money."""

    ARM = "arm"  # both sides have the same
    DRAIN = "drain"  # Redis has entries that are to be booked first
    REPAIR = "repair"  # Redis has to be repaired from the ledger
    RESTORE = "restore"  # Redis has nothing at all: a person decides, with `livegift restore`
    STOP = "stop"  # nobody can tell which side is right


@dataclass(frozen=True, slots=True)
class Comparison:
    """The step to take. Redis and ledger agree up to `common_n`; beyond it Redis has `diverged` and lacks `lost`."""

    step: Step
    common_n: int
    diverged: int = 0
    lost: int = 0
    reason: str = ""


def compare(store: Position, ledger: Position, bases: Mapping[int, int]) -> Comparison:
    """Compare what Redis says of a disarmed partition with its checkpoint.

    `bases` maps each epoch that was ever armed to the n at which it began. Epoch 0 means never armed.
    """
    if store.epoch == 0:
        if ledger.n == 0 and store.n == 0:
            return Comparison(Step.ARM, 0)
        return Comparison(Step.RESTORE, 0, store.n, ledger.n, "Redis has nothing of this partition")
    if store.epoch < ledger.epoch:
        end = common_end(store.epoch, bases)
        if end is None:
            return Comparison(Step.STOP, 0, reason=f"nothing is known about the epochs after {store.epoch}")
        common = min(store.n, end)
    elif store.n < ledger.n and store.epoch > ledger.epoch:
        reason = f"Redis is at {store}, the ledger has booked up to {ledger} and never armed epoch {store.epoch}"
        return Comparison(Step.STOP, 0, reason=reason)
    else:
        # The same branch. A ledger with an older epoch was itself set back; the journal brings it up to date.
        common = min(store.n, ledger.n)
        if store.n > ledger.n:
            return Comparison(Step.DRAIN, common)
    diverged, lost = store.n - common, ledger.n - common
    if diverged or lost:
        return Comparison(Step.REPAIR, common, diverged, lost)
    return Comparison(Step.ARM, common)


def common_end(epoch: int, bases: Mapping[int, int]) -> int | None:
    """The n up to which what `epoch` wrote counts; None when nothing has superseded it."""
    return bases[min(later)] if (later := [other for other in bases if other > epoch]) else None


def position_at(n: int, bases: Mapping[int, int]) -> Position:
    """The position of entry `n` on the branch that counts."""
    return Position(max((epoch for epoch, base in bases.items() if base < n), default=0), n)


def superseded(position: Position, fences: Iterable[Position]) -> bool:
    """Whether an entry belongs to a branch that was cut off. `fences` are (epoch, base) of epochs that were armed."""
    return any(fence.epoch > position.epoch and position.n > fence.n for fence in fences)
