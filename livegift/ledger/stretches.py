"""What a booking takes: consecutive entries of a partition."""

from dataclasses import dataclass

from livegift.domain.journal import Entry, Poison
from livegift.domain.partitions import Position


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive entries of one partition, the first right after `after`."""

    partition: int
    after: Position
    entries: tuple[tuple[Position, Entry | Poison], ...]

    @property
    def end(self) -> Position:
        """The position of the last entry."""
        return self.entries[-1][0]
