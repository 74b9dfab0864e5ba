"""Comparison of a partition in Redis with its checkpoint, before it is armed. See decision 007.

A partition's history is a chain of positions. Each arming begins an epoch at the last `n` that the ledger had booked,
its *base*; whatever an older epoch wrote beyond a later epoch's base is a branch that was cut off. So the epoch and
`n` in Redis, together with the bases, tell exactly which entries both sides have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from livegift.domain.partitions import Position


class RecoveryStep(StrEnum):
    """The step that has to come before a partition may move money."""

    ARM = "arm"  # both sides are equal
    DRAIN = "drain"  # Redis has entries that have to be booked first
    REPAIR = "repair"  # Redis has to be repaired from the ledger
    RESTORE = "restore"  # Redis is empty: a person decides, with `livegift restore`
    STOP = "stop"  # it is not known which side is right


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison.

    Both sides agree up to `common_n`; beyond it, Redis has `diverged` entries that do not count and lacks `lost` ones.
    """

    step: RecoveryStep
    common_n: int
    diverged: int = 0
    lost: int = 0
    reason: str = ""


def compare(store: Position, ledger: Position, bases: Mapping[int, int]) -> Comparison:
    """Compare the position of a disarmed partition in Redis with its checkpoint in the ledger.

    `bases` maps each epoch that was ever armed to the n at which it began. Epoch 0 means never armed.
    """
    if store.epoch == 0:
        if ledger.n == 0 and store.n == 0:
            return Comparison(RecoveryStep.ARM, 0)
        return Comparison(RecoveryStep.RESTORE, 0, store.n, ledger.n, "Redis has nothing of this partition")
    if store.epoch < ledger.epoch:
        end = common_end(store.epoch, bases)
        if end is None:
            return Comparison(RecoveryStep.STOP, 0, reason=f"nothing is known about the epochs after {store.epoch}")
        common = min(store.n, end)
    elif store.n < ledger.n and store.epoch > ledger.epoch:
        reason = f"Redis is at {store}, the ledger has booked up to {ledger} and never armed epoch {store.epoch}"
        return Comparison(RecoveryStep.STOP, 0, reason=reason)
    else:
        # The same branch. A ledger at an older epoch was itself set back; the journal brings it up to date.
        common = min(store.n, ledger.n)
        if store.n > ledger.n:
            return Comparison(RecoveryStep.DRAIN, common)
    diverged, lost = store.n - common, ledger.n - common
    if diverged or lost:
        return Comparison(RecoveryStep.REPAIR, common, diverged, lost)
    return Comparison(RecoveryStep.ARM, common)


def common_end(epoch: int, bases: Mapping[int, int]) -> int | None:
    """Return the n up to which the entries of `epoch` count; None if no later epoch has begun."""
    return bases[min(later)] if (later := [other for other in bases if other > epoch]) else None


def position_at(n: int, bases: Mapping[int, int]) -> Position:
    """Return the position of entry `n` on the branch that counts."""
    return Position(max((epoch for epoch, base in bases.items() if base < n), default=0), n)


def superseded(position: Position, fences: Iterable[Position]) -> bool:
    """Return whether an entry belongs to a branch that was cut off. `fences` are (epoch, base) of the armed epochs."""
    return any(fence.epoch > position.epoch and position.n > fence.n for fence in fences)
