"""The options and results of a run."""

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(slots=True)
class Options:
    operations: int = 5_000
    faults: int = 50
    kinds: tuple[str, ...] = ()
    keep: Path | None = None  # where the folder of a run stays


@dataclass(slots=True)
class Result:
    """The result of a seed."""

    seed: int
    operations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    gifts: int = 0
    deals: int = 0
    dealt: dict[str, dict[str, int]] = field(default_factory=dict)
    matches: int = 0
    matched: int = 0
    unknown: int = 0
    resolved: int = 0
    lost: int = 0
    poisoned: int = 0
    viewed: int = 0
    restarts: int = 0
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # what was not at rest in time; then nothing is judged
    unjudged: list[str] = field(default_factory=list)  # what would be violations if it had been at rest
    starved: float = 0.0  # the share of the time in which the machine was short of CPU
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    rests: list[float] = field(default_factory=list)  # until it took money again, before the next fault
    phases: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        return {item.name: getattr(self, item.name) for item in fields(self)}
