"""The input of a booking: consecutive entries of a partition."""

from dataclasses import dataclass

from livegift.contract.journal import Entry
from livegift.domain.journal import Poison
from livegift.domain.partitions import Position


@dataclass(frozen=True, slots=True)
class JournalSlice:
    """Consecutive entries of one partition, the first right after `after`."""

    partition: int
    after: Position
    entries: tuple[tuple[Position, Entry | Poison], ...]

    @property
    def end(self) -> Position:
        """Return the position of the last entry."""
        return self.entries[-1][0]

    def beyond(self, position: Position) -> "JournalSlice":
        """Return the rest after `position`, which is in the slice or right before it."""
        rest = tuple(entry for entry in self.entries if entry[0] > position)
        return JournalSlice(self.partition, max(self.after, position), rest)
