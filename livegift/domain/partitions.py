"""Which partition owns a wallet. Fixed for the life of a system, so it must never depend on a library's mood."""

from typing import NamedTuple
from zlib import crc32


def partition_of(user_id: str, partitions: int) -> int:
    """The partition (0..partitions-1) that owns the wallet of `user_id`."""
    return crc32(user_id.encode()) % partitions


class Position(NamedTuple):
    """A place in a partition's journal: ordered, without a clock. `n` has no holes and continues over epochs."""

    epoch: int
    n: int

    def __str__(self) -> str:
        """The id of the outbox entry, `<epoch>-<n>`."""
        return f"{self.epoch}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The inverse of `str`. Raises ValueError for anything else."""
        epoch, _, n = text.partition("-")
        position = cls(int(epoch), int(n))
        if str(position) != text or position < (0, 0) or position.n < 0:
            raise ValueError(f"expected a position such as 1-42, got {text!r}")
        return position


START = Position(0, 0)


def event_id(partition: int, position: Position) -> str:
    """The id of the event that an entry causes: `<partition>-<epoch>-<n>`, unique in the whole system."""
    return f"{partition}-{position.epoch}-{position.n}"
