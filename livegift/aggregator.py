"""The aggregator: reads the same journals as the relay, books them in PostgreSQL and credits diamonds in batches.

The checkpoint moves in the transaction that books, so whatever dies, each entry is booked exactly once. It also arms
the partitions, because only the ledger knows whether a Redis is the one it was.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvloop

from livegift import logs, metrics, wire
from livegift.domain.journal import GiftSent
from livegift.domain.partitions import Position
from livegift.errors import PartitionStoppedError, StoreUnavailableError
from livegift.grants import repeat_pending_grants
from livegift.ledger import schema
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.ledger.journal import (
    Booked,
    Checkpoint,
    CheckpointMovedError,
    Stretch,
    book,
    raise_epoch,
    read_checkpoints,
    stop_partition,
)
from livegift.limits import (
    ARM_PERIOD_S,
    BOOK_BATCH_MAX,
    BOOK_PACE_S,
    BOOK_READ_MAX,
    BOOK_READ_PER_PARTITION_MIN,
    BOOK_RETRY_S,
    OUTBOX_BACKLOG_MAX,
    SWEEP_GRANTS_S,
    TRIM_PERIOD_S,
)
from livegift.settings import Settings
from livegift.store.client import Node
from livegift.store.leases import Leases
from livegift.store.outbox import Outbox, PartitionState, Row
from livegift.store.wallets import Wallets
from livegift.worker import Worker, connected, run_until_stopped, worker_name

log = structlog.get_logger()

# What a booking waits for: {fsynced here, fsynced on replicas}; None waits for nothing.
BARRIERS: dict[str, dict[str, int] | None] = {
    "none": None,
    "fsync": {"local": 1, "replicas": 0},
    "replicated": {"local": 1, "replicas": 1},
}


def stretch_of(partition: int, after: Position, rows: list[Row]) -> Stretch:
    """The rows as a stretch to book. Raises PartitionStoppedError for an entry that can't be read."""
    entries = []
    for row in rows:
        if row.entry is None:
            raise PartitionStoppedError(partition, f"entry {row.position} can't be read: {row.raw[:200]!r}")
        entries.append((row.position, row.entry))
    return Stretch(partition, after, tuple(entries))


@dataclass(slots=True)
class _Held:
    """One partition that this process looks after."""

    booked: Position
    armed_epoch: int
    marks: deque[tuple[float, Position]] = field(default_factory=deque)


class Aggregator(Worker):
    """Books the journals of the partitions that this process holds."""

    role = "aggregator"

    def __init__(
        self,
        outbox: Outbox,
        wallets: Wallets,
        leases: Leases,
        database: Database,
        *,
        durability: str,
        outbox_keep_s: float,
    ) -> None:
        """`durability` is a key of BARRIERS."""
        super().__init__(leases)
        self._outbox = outbox
        self._wallets = wallets
        self._database = database
        self._barrier = BARRIERS[durability]
        self._keep_s = outbox_keep_s
        self._held: dict[int, _Held] = {}
        self._stopped: set[int] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}

    def side_tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs beside the leases."""
        return {"arm": self._keep_armed(), "trim": self._keep_trimmed(), "grants": self._repeat_grants()}

    async def on_leases(self, won: set[int], lost: set[int]) -> None:
        """Take over what was won from its checkpoint on, let go of what was lost, and follow each node that matters."""
        for partition in lost:
            self._held.pop(partition, None)
        try:
            await self._load(won)
        except LedgerUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
        for partition in self._held:
            node = self._outbox.node_of(partition)
            if node.name not in self._followers or self._followers[node.name].done():
                self._followers[node.name] = self.start(f"book {node.name}", self._follow(node))

    async def _load(self, partitions: set[int]) -> None:
        """Read the checkpoints of `partitions`; those that are stopped are not looked after."""
        for partition, checkpoint in (await read_checkpoints(self._database, partitions)).items():
            if checkpoint.stopped:
                self._note_stopped(partition, checkpoint.stopped)
            else:
                self._stopped.discard(partition)
                self._held[partition] = _Held(checkpoint.position, checkpoint.armed_epoch)

    def _note_stopped(self, partition: int, reason: str) -> None:
        self._held.pop(partition, None)
        if partition not in self._stopped:
            log.error("partition.stopped", partition=partition, reason=reason)
        self._stopped.add(partition)
        metrics.PARTITIONS_STOPPED.set(len(self._stopped))

    # --- Booking ------------------------------------------------------------------------------------------------------

    async def _follow(self, node: Node) -> None:
        """Book what the partitions of `node` write, for ever. The next batch is read while one is being booked."""
        link = node.link()
        booking: asyncio.Task[None] | None = None
        read: dict[int, Position] = {}
        try:
            while True:
                try:
                    if not link.is_open:
                        link = await node.link().open()
                    mine = {p: held for p, held in self._held.items() if self._outbox.node_of(p) is node}
                    cursors = {p: max(read.get(p, held.booked), held.booked) for p, held in mine.items()}
                    found = {}
                    if cursors:
                        # So many in all: a backlog is booked in steps that fit into memory and show progress.
                        count = max(BOOK_READ_MAX // len(cursors), BOOK_READ_PER_PARTITION_MIN)
                        found = await self._outbox.read_durable(link, cursors, count, self._barrier)
                    if booking is not None:
                        await booking
                        booking = None
                    if found:
                        read = {**cursors, **{p: rows[-1].position for p, rows in found.items()}}
                        booking = asyncio.create_task(self._book(cursors, found), name=f"booking {node.name}")
                    else:
                        read = {}
                        await asyncio.sleep(BOOK_PACE_S)
                except (StoreUnavailableError, LedgerUnavailableError, CheckpointMovedError) as error:
                    log.warning("aggregator.retry", node=node.name, error=str(error))
                    await self._finish(booking)
                    booking, read = None, {}
                    await asyncio.sleep(BOOK_RETRY_S)
                    await self._reload()
        finally:
            await link.close()
            await self._finish(booking)

    @staticmethod
    async def _finish(booking: asyncio.Task[None] | None) -> None:
        """A booking that has begun may finish: stopping in the middle would only repeat it later."""
        if booking is not None:
            with suppress(StoreUnavailableError, LedgerUnavailableError, CheckpointMovedError):
                await booking

    async def _reload(self) -> None:
        """Begin again from the checkpoints."""
        with suppress(LedgerUnavailableError):
            await self._load(set(self._held))

    async def _book(self, cursors: Mapping[int, Position], found: Mapping[int, list[Row]]) -> None:
        """Book what was read, in transactions of at most BOOK_BATCH_MAX entries. A bad journal stops only itself."""
        stretches: list[Stretch] = []
        size = 0
        for partition, rows in found.items():
            try:
                stretch = stretch_of(partition, cursors[partition], rows)
            except PartitionStoppedError as error:
                await self._stop(error)
                continue
            if stretches and size + len(rows) > BOOK_BATCH_MAX:
                await self._book_some(stretches)
                stretches, size = [], 0
            stretches.append(stretch)
            size += len(rows)
        await self._book_some(stretches)

    async def _book_some(self, stretches: list[Stretch]) -> None:
        while stretches:
            try:
                with metrics.BOOK_SECONDS.time():
                    booked = await book(self._database, stretches)
            except PartitionStoppedError as error:
                await self._stop(error)
                stretches = [stretch for stretch in stretches if stretch.partition != error.partition]
                continue
            await self._after_booking(stretches, booked)
            return

    async def _stop(self, error: PartitionStoppedError) -> None:
        await stop_partition(self._database, error.partition, error.reason)
        self._note_stopped(error.partition, error.reason)
        with suppress(StoreUnavailableError):
            await self._outbox.disarm(error.partition)

    async def _after_booking(self, stretches: list[Stretch], booked: Booked) -> None:
        ends = {stretch.partition: stretch.end for stretch in stretches}
        for partition, end in ends.items():
            if partition in self._held:
                self._held[partition].booked = end
        metrics.BOOKED.inc(booked.gifts)
        times = [entry.ts_ms for s in stretches for _, entry in s.entries[:1] if isinstance(entry, GiftSent)]
        log.debug("aggregator.booked", batch_id=booked.batch_id, gifts=booked.gifts, oldest_ms=min(times, default=0))
        await self._outbox.advance("booked", ends)
        for credit in booked.credits:
            message = wire.frame(
                "creator.credited", batch_id=str(booked.batch_id), diamonds=credit.diamonds, balance=credit.balance
            )
            # The diamonds are credited; that a page hears of it now is a courtesy.
            with suppress(StoreUnavailableError):
                await self._wallets.tell(credit.creator, message)

    # --- Arming -------------------------------------------------------------------------------------------------------

    async def _keep_armed(self) -> None:
        """Arm the partitions that are not: fresh ones, and those whose Redis has started anew."""
        while True:
            armed = []
            for partition, state in (await self._outbox.states(self._held)).items():
                held = self._held.get(partition)
                if held is None or state.armed_epoch == held.armed_epoch != 0:
                    continue
                if await self._arm(partition, held, state):
                    armed.append(partition)
            if armed:
                log.info("partitions.armed", count=len(armed))
            await asyncio.sleep(ARM_PERIOD_S)

    async def _arm(self, partition: int, held: _Held, state: PartitionState) -> bool:
        """One try: nothing may be unbooked and nothing may be lost, then the next epoch begins. Whether it did."""
        try:
            if state.armed_epoch:
                await self._outbox.disarm(partition)
            tail = await self._outbox.tail(partition) or Position(state.epoch, 0)
            if held.booked.n < tail.n:
                return False  # the journal is booked first, this comes again
            checkpoint = await self._next_epoch(partition, state.epoch)
            if (state.n, tail.n) != (checkpoint.position.n, checkpoint.position.n):
                raise PartitionStoppedError(
                    partition,
                    f"the ledger has booked up to {checkpoint.position}, Redis counts to {state.n} "
                    f"and its journal ends at {tail}: entries were lost",
                )
            await self._outbox.arm(partition, checkpoint.armed_epoch, OUTBOX_BACKLOG_MAX)
        except (StoreUnavailableError, LedgerUnavailableError) as error:
            log.warning("partition.not_armed", partition=partition, error=str(error))
            return False
        except PartitionStoppedError as error:
            await self._stop(error)
            return False
        held.armed_epoch = checkpoint.armed_epoch
        log.debug("partition.armed", partition=partition, epoch=checkpoint.armed_epoch, n=state.n)
        return True

    async def _next_epoch(self, partition: int, stored: int) -> Checkpoint:
        async with self._database.begin() as connection:
            return await raise_epoch(connection, partition, stored)

    # --- Housekeeping -------------------------------------------------------------------------------------------------

    async def _keep_trimmed(self) -> None:
        """Trim what was booked longer than the keeping time ago."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TRIM_PERIOD_S)
            upto = {}
            for partition, held in self._held.items():
                if not held.marks or held.marks[-1][1] != held.booked:
                    held.marks.append((clock(), held.booked))
                while held.marks and held.marks[0][0] <= clock() - self._keep_s:
                    upto[partition] = held.marks.popleft()[1]
            if upto:
                await self._outbox.trim(upto)

    async def _repeat_grants(self) -> None:
        """Finish the grants that a crash has left between the note and the coins."""
        while True:
            await asyncio.sleep(SWEEP_GRANTS_S)
            try:
                await repeat_pending_grants(self._database, self._wallets)
            except (StoreUnavailableError, LedgerUnavailableError) as error:
                log.warning("grants.sweep_failed", error=str(error))


def run_aggregator(settings: Settings) -> None:
    """Book until SIGTERM or SIGINT."""

    async def main() -> None:
        async with connected(settings) as store:
            database = Database(settings.database_url)
            try:
                await schema.check(database, settings.partitions)
                outbox = Outbox(store, settings.partitions)
                aggregator = Aggregator(
                    outbox,
                    Wallets(store, settings.partitions, settings.ref_ttl_s),
                    Leases(store, outbox.roots, Aggregator.role, worker_name()),
                    database,
                    durability=settings.durability,
                    outbox_keep_s=settings.outbox_keep_s,
                )
                await run_until_stopped(aggregator)
            finally:
                await database.aclose()

    logs.configure(settings.log_format, Aggregator.role)
    metrics.serve(settings.metrics_port, settings.host)
    uvloop.run(main())
