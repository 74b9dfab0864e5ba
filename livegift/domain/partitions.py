"""Partitions and positions in their journals.

The partition that owns a wallet is fixed for the life of a system, so it must not depend on a library's version.
"""

from typing import NamedTuple
from zlib import crc32


def partition_of(user_id: str, partitions: int) -> int:
    """Return the number of the partition (0..partitions-1) that owns the wallet of `user_id`."""
    return crc32(user_id.encode()) % partitions


class Position(NamedTuple):
    """A place in a partition's journal, ordered without a clock. `n` has no gaps and continues across epochs."""

    epoch: int
    n: int

    def __str__(self) -> str:
        """Return the id of the outbox entry, `<epoch>-<n>`."""
        return f"{self.epoch}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Parse what `str` returns. Raises ValueError for anything else."""
        epoch, _, n = text.partition("-")
        position = cls(int(epoch), int(n))
        if str(position) != text or position < (0, 0) or position.n < 0:
            raise ValueError(f"expected a position such as 1-42, got {text!r}")
        return position


START = Position(0, 0)


def event_id(partition: int, position: Position) -> str:
    """Return the id of the event that an entry causes: `<partition>-<epoch>-<n>`, unique in the whole system."""
    return f"{partition}-{position.epoch}-{position.n}"
