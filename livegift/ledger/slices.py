"""What a booking takes: consecutive entries of a partition."""

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
        """The position of the last entry."""
        return self.entries[-1][0]

    def beyond(self, position: Position) -> "JournalSlice":
        """Return what is left of it when everything up to `position`, which is in it or right before it, is booked."""
        rest = tuple(entry for entry in self.entries if entry[0] > position)
        return JournalSlice(self.partition, max(self.after, position), rest)
