"""Reading the journals of a node with the durability that bookings need: what is booked must not vanish from Redis."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from livegift.domain.entries import Row
from livegift.domain.partitions import Position
from livegift.runtime.bounds import (
    BARRIERS_MAX,
    BOOK_READ_MAX,
    BOOK_READ_PER_PARTITION_MIN,
    BOOK_ROWS_WAITING_MAX,
)
from livegift.store.client import Node
from livegift.store.link import Link
from livegift.store.outbox import Outbox


@dataclass(frozen=True, slots=True)
class JournalReading:
    """The entries read after `cursors` on a link, which then waits for the barrier."""

    link: Link
    cursors: Mapping[int, Position]
    found: Mapping[int, list[Row]]
    barrier: asyncio.Task[None]


class DurableReader:
    """Reads ahead while earlier readings wait for their barriers, each on a link of its own.

    A barrier takes up to a second, and everything read before an fsync began is covered by it: waiting for one barrier
    after the other would make the journal wait for two.
    """

    def __init__(self, node: Node, outbox: Outbox, barrier: Mapping[str, int] | None) -> None:
        """Read from `node`. `barrier` is as for `Outbox.wait_durable`."""
        self._node = node
        self._outbox = outbox
        self._barrier = barrier
        self._readings: deque[JournalReading] = deque()
        # The position up to which each partition was read: entries that are not booked yet must not be read again.
        self._ends: dict[int, Position] = {}
        self._free: list[Link] = []

    async def read_more(self, booked: Mapping[int, Position]) -> None:
        """Read what comes after the last reading, or after `booked` for partitions that had none or are ahead of it.

        Partitions that are not in `booked` are forgotten: if they come back, they are read from `booked`.

        Raises StoreUnavailableError: then call `reset` and read again.
        """
        self._ends = cursors = {p: max(self._ends.get(p, position), position) for p, position in booked.items()}
        waiting_rows = sum(len(rows) for reading in self._readings for rows in reading.found.values())
        if not cursors or len(self._readings) >= BARRIERS_MAX or waiting_rows >= BOOK_ROWS_WAITING_MAX:
            return
        link = self._free.pop() if self._free else await self._node.link().open()
        try:
            # A total over all partitions: a backlog is booked in steps that fit into memory and show progress.
            count = max(BOOK_READ_MAX // len(cursors), BOOK_READ_PER_PARTITION_MIN)
            found = await self._outbox.read(link, cursors, count)
        except BaseException:
            await link.close()
            raise
        if not found:
            self._free.append(link)
            return
        waiting = self._outbox.wait_durable(link, next(iter(cursors)), self._barrier)
        self._ends = {**cursors, **{p: rows[-1].position for p, rows in found.items()}}
        task = asyncio.create_task(waiting, name=f"barrier {self._node.name}")
        self._readings.append(JournalReading(link, cursors, found, task))

    def take_durable(self) -> list[JournalReading]:
        """Return the readings whose barriers have passed, in order: they are durable.

        Raises StoreUnavailableError when one has failed.
        """
        ready = []
        while self._readings and self._readings[0].barrier.done():
            reading = self._readings.popleft()
            self._free.append(reading.link)
            reading.barrier.result()
            ready.append(reading)
        return ready

    async def reset(self) -> None:
        """Forget all readings and close all links."""
        for reading in self._readings:
            reading.barrier.cancel()
        await asyncio.gather(*(reading.barrier for reading in self._readings), return_exceptions=True)
        for link in [*self._free, *(reading.link for reading in self._readings)]:
            await link.close()
        self._readings.clear()
        self._free.clear()
        self._ends = {}
