"""Reading for the ledger: each entry once, however long its booking takes."""

from collections.abc import AsyncIterator

import pytest

from livegift.domain.partitions import Position, partition_of
from livegift.ledger.slices import JournalSlice
from livegift.processes.reading import DurableReader
from livegift.runtime.settings import Settings
from tests.inprocess import InProcess
from tests.waiting import wait_until


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[InProcess]:
    async with InProcess(settings) as system:
        yield system


async def test_what_is_being_booked_is_not_read_again(running: InProcess) -> None:
    await running.open_room("r1", "bob")
    await running.grant("alice", 1000)
    outbox = running.outbox
    partition = partition_of("alice", running.settings.partitions)
    reader = DurableReader(outbox.node_of(partition), outbox, None)
    booked = {partition: Position(1, 0)}

    async def read() -> list[int]:
        await reader.read_more(booked)
        found: list[int] = []

        def read_all() -> bool:
            for reading in reader.take_durable():
                found.extend(row.position.n for row in reading.found.get(partition, []))
            return not reader._readings

        await wait_until(read_all, "the barriers are through")
        return found

    first = await read()
    assert first
    assert await read() == []  # although nothing says that it is booked
    await running.gift("alice", "r1", "bob", "balloon", "one more")
    assert await read() == [first[-1] + 1]
    await reader.reset()
    assert await read() == [*first, first[-1] + 1]  # then from what is booked
    booked.clear()
    assert await read() == []
    booked[partition] = Position(1, first[-1])
    assert await read() == [first[-1] + 1]  # a partition that comes back
    await reader.reset()


async def test_what_waits_for_its_barrier_is_bounded(running: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegift.processes.reading.BOOK_ROWS_WAITING_MAX", 1)
    await running.grant("alice", 1000)
    outbox, partition = running.outbox, partition_of("alice", running.settings.partitions)
    reader = DurableReader(outbox.node_of(partition), outbox, None)
    booked = {partition: Position(1, 0)}
    await reader.read_more(booked)
    await running.grant("alice", 1000, "more")
    await reader.read_more(booked)
    assert len(reader._readings) == 1
    await wait_until(reader.take_durable, "the barrier is through")
    await reader.read_more(booked)
    assert len(reader._readings) == 1
    await reader.reset()


def test_what_a_bisected_batch_has_left() -> None:
    entries = tuple((Position(1, n), None) for n in (4, 5, 6))
    piece = JournalSlice(7, Position(1, 3), entries)  # type: ignore[arg-type]
    assert piece.beyond(Position(1, 3)) == piece
    assert piece.beyond(Position(1, 4)) == JournalSlice(7, Position(1, 4), entries[1:])  # type: ignore[arg-type]
