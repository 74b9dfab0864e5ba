"""The aggregator: reads the same journals as the relay, books them in PostgreSQL and credits diamonds in batches.

The checkpoint moves in the transaction that books, so each entry is booked exactly once, whatever dies. The aggregator
also arms the partitions, because only the ledger can tell whether Redis has lost anything.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
import uvloop
from msgspec import UNSET

from livegift import composition
from livegift.contract.encoding import encode
from livegift.contract.errors import PartitionStoppedError, StoreUnavailableError
from livegift.contract.journal import GiftSent
from livegift.contract.messages import CreatorCredited
from livegift.domain.entries import Row
from livegift.domain.partitions import Position
from livegift.ledger import schema
from livegift.ledger.arming import advance_marks, forget_streak_ends, set_stopped
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.ledger.journal import Booked, CheckpointMovedError, read_checkpoints
from livegift.ledger.slices import JournalSlice
from livegift.processes.booking import book_all, slice_of
from livegift.processes.reading import DurableReader, JournalReading
from livegift.processes.worker import Worker, connected, run_until_stopped, worker_name
from livegift.recovery.partitions import Prepared, log_repairs
from livegift.recovery.restore import recovery_of
from livegift.resources.resources import Stores
from livegift.runtime import logs, metrics
from livegift.runtime.bounds import (
    ARM_AT_ONCE,
    ARM_GROUP_MAX,
    ARM_PERIOD_S,
    BOOK_BATCH_MAX,
    BOOK_PACE_S,
    BOOK_RETRY_S,
    MEMORY_PERIOD_S,
    MEMORY_SHARE_ENOUGH,
    MEMORY_SHARE_MAX,
    STREAK_REOPEN_S,
    TRIM_PERIOD_S,
)
from livegift.runtime.settings import Settings
from livegift.runtime.sweeps import Sweep
from livegift.store.client import Node, Store
from livegift.store.leases import Leases
from livegift.store.outbox import Outbox
from livegift.store.server import memory_share

log = structlog.get_logger()

# What a booking waits for: {fsyncs here, fsyncs on replicas}; None waits for nothing.
BARRIERS: dict[str, dict[str, int] | None] = {
    "none": None,
    "fsync": {"local": 1, "replicas": 0},
    "replicated": {"local": 1, "replicas": 1},
}


@dataclass(slots=True)
class _Held:
    """A partition that this process holds."""

    booked: Position


class Aggregator(Worker):
    """Books the journals of the partitions that this process holds."""

    role = "aggregator"

    def __init__(self, store: Store, leases: Leases, database: Database, settings: Settings) -> None:
        """Use stores and leases of one system."""
        super().__init__(leases)
        self._store = store
        stores = Stores(settings, store, database)
        self._outbox, self._wallets = stores.outbox, stores.wallets
        self._database = database
        self._barrier = BARRIERS[settings.durability]
        self._keep_s = settings.outbox_keep_s
        self._recovery, self._rooms = recovery_of(store, self._outbox, database, settings)
        self._backgrounds = [feature.background(stores) for feature in composition.features() if feature.background]
        self._held: dict[int, _Held] = {}
        self._stopped: set[int] = set()
        self._short: dict[str, bool] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}

    def side_tasks(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return the tasks that run beside the leases."""
        return [
            ("arm", self._keep_armed()),
            ("memory", self._watch_memory()),
            ("trim", self._keep_trimmed()),
            *((sweep.name, self._repeat(sweep)) for background in self._backgrounds for sweep in background.sweeps),
        ]

    async def on_leases(self, won: set[int], lost: set[int]) -> None:
        """Take over the partitions won, from their checkpoints on; drop those lost; follow their nodes."""
        for partition in lost:
            self._held.pop(partition, None)
            self._stopped.discard(partition)
        try:
            await self._load(won)
        except LedgerUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
        self._short.clear()  # the partitions won have to be told, too
        self._follow_nodes()

    async def _load(self, partitions: set[int]) -> None:
        """Read the checkpoints of `partitions` and hold those that are not stopped."""
        for partition, checkpoint in (await read_checkpoints(self._database, partitions)).items():
            if checkpoint.stopped:
                self._note_stopped(partition, checkpoint.stopped)
            else:
                self._stopped.discard(partition)
                self._held[partition] = _Held(checkpoint.position)

    def _note_stopped(self, partition: int, reason: str) -> None:
        self._held.pop(partition, None)
        if partition not in self._stopped:
            log.error("partition.stopped", partition=partition, reason=reason)
        self._stopped.add(partition)
        metrics.PARTITIONS_STOPPED.set(len(self._stopped))

    # --- Booking ------------------------------------------------------------------------------------------------------

    def _follow_nodes(self) -> None:
        """Follow each node that has partitions of ours and is not followed yet."""
        for node in {self._outbox.node_of(partition) for partition in self._held}:
            if node.name not in self._followers or self._followers[node.name].done():
                self._followers[node.name] = self.start(f"book {node.name}", self._follow(node))

    async def _follow(self, node: Node) -> None:
        """Book the entries of the partitions of `node`, until it is no longer a primary."""
        reader = DurableReader(node, self._outbox, self._barrier)
        booking: asyncio.Task[None] | None = None
        try:
            while node in self._store.nodes:
                try:
                    mine = {p: held.booked for p, held in self._held.items() if self._outbox.node_of(p) is node}
                    await reader.read_more(mine)
                    ready = reader.take_durable()
                    if booking is not None and (ready or booking.done()):
                        await booking
                        booking = None
                    if ready:
                        booking = asyncio.create_task(self._book(ready), name=f"booking {node.name}")
                    await asyncio.sleep(BOOK_PACE_S)
                except (StoreUnavailableError, LedgerUnavailableError, CheckpointMovedError) as error:
                    log.warning("aggregator.retry", node=node.name, error=str(error))
                    await reader.reset()
                    await self._finish(booking)
                    booking = None
                    await asyncio.sleep(BOOK_RETRY_S)
                    await self._reload()
        finally:
            await reader.reset()
            await self._finish(booking)

    @staticmethod
    async def _finish(booking: asyncio.Task[None] | None) -> None:
        """Let a booking that has begun finish: stopping in the middle would only repeat it later."""
        if booking is not None:
            with suppress(StoreUnavailableError, LedgerUnavailableError, CheckpointMovedError):
                await booking

    async def _reload(self) -> None:
        """Read the checkpoints again, to begin from them."""
        with suppress(LedgerUnavailableError):
            await self._load(set(self._held))

    async def _book(self, readings: Sequence[JournalReading]) -> None:
        """Book what was read, in transactions of about BOOK_BATCH_MAX entries. A bad journal stops only itself."""
        rows: dict[int, list[Row]] = {}
        for reading in readings:
            for partition, found in reading.found.items():
                rows.setdefault(partition, []).extend(found)
        slices: list[JournalSlice] = []
        size = 0
        for partition, found in rows.items():
            if slices and size + len(found) > BOOK_BATCH_MAX:
                await self._book_some(slices)
                slices, size = [], 0
            after = next(reading.cursors[partition] for reading in readings if partition in reading.found)
            slices.append(slice_of(composition.booking_plan(), partition, after, found))
            size += len(found)
        await self._book_some(slices)

    async def _book_some(self, slices: list[JournalSlice]) -> None:
        while slices:
            try:
                async for part, booked in book_all(self._database, composition.booking_plan(), slices):
                    await self._after_booking(part, booked)
            except PartitionStoppedError as error:
                await self._stop(error)
                # Parts of a bisected batch that were booked already are behind the checkpoints now.
                held = {s.partition: self._held[s.partition].booked for s in slices if s.partition in self._held}
                slices = [s.beyond(held[s.partition]) for s in slices if held.get(s.partition, s.end) < s.end]
                continue
            return

    async def _stop(self, error: PartitionStoppedError) -> None:
        await set_stopped(self._database, error.partition, error.reason)
        self._note_stopped(error.partition, error.reason)
        with suppress(StoreUnavailableError):
            await self._outbox.disarm(error.partition)

    async def _after_booking(self, slices: Sequence[JournalSlice], booked: Booked) -> None:
        ends = {piece.partition: piece.end for piece in slices}
        for partition, end in ends.items():
            if partition in self._held:
                self._held[partition].booked = end
        metrics.BOOKED.inc(booked.gifts)
        times = [entry.ts_ms for s in slices for _, entry in s.entries[:1] if isinstance(entry, GiftSent)]
        log.debug("aggregator.booked", batch_id=booked.batch_id, gifts=booked.gifts, oldest_ms=min(times, default=0))
        for background in self._backgrounds:
            if background.on_booked is not None:
                background.on_booked(booked)
        await self._outbox.advance("booked", ends)
        for credit in booked.credits:
            message = CreatorCredited(
                batch_id=str(booked.batch_id),
                diamonds=credit.diamonds,
                balance=credit.balance,
                matched_diamonds=credit.matched_diamonds or UNSET,
            )
            # The diamonds are credited; telling a page at once is a courtesy.
            with suppress(StoreUnavailableError):
                await self._wallets.publish_to_user(credit.creator, encode(message))

    # --- Arming -------------------------------------------------------------------------------------------------------

    async def _keep_armed(self) -> None:
        """Keep arming the partitions that are not armed and opening the gates of rooms."""
        while True:
            self._follow_nodes()
            for work in (self._arm_all, self._rooms.open_gates):
                try:
                    await work()
                except (StoreUnavailableError, LedgerUnavailableError) as error:
                    log.warning("aggregator.arming_delayed", error=str(error))
                    with suppress(StoreUnavailableError):
                        await self._store.refresh()
            await asyncio.sleep(ARM_PERIOD_S)

    async def _arm_all(self) -> None:
        """Arm new partitions, those whose Redis may have lost something, and those started again by an operator."""
        if self._stopped:
            with suppress(LedgerUnavailableError):
                await self._load(set(self._stopped))
        unarmed = await self._unarmed()
        if unarmed:
            await self._load(unarmed)  # another aggregator may have armed them meanwhile
            unarmed = await self._unarmed()
        turns = asyncio.Semaphore(ARM_AT_ONCE)
        prepared: list[Prepared] = []
        armed: list[int] = []

        async def prepare(partition: int) -> Prepared | None:
            async with turns:
                try:
                    done = await self._recovery.prepare(partition)
                except PartitionStoppedError as error:
                    await self._stop(error)
                    return None
            prepared.extend([done] if done else [])
            return done

        # In groups, so that the first take gifts again while the last are being compared.
        waiting = sorted(unarmed)
        try:
            for start in range(0, len(waiting), ARM_GROUP_MAX):
                group = waiting[start : start + ARM_GROUP_MAX]
                found = await asyncio.gather(*(prepare(p) for p in group), return_exceptions=True)
                await self._arm_group(found, armed)
        finally:
            log_repairs(prepared, len(armed))

    async def _arm_group(self, found: Sequence[Prepared | BaseException | None], armed: list[int]) -> None:
        """Arm the partitions that are prepared and add them to `armed`; raises the first error of the others."""
        ready = {done.partition: done for done in found if isinstance(done, Prepared)}
        if ready:
            with metrics.ARM_SECONDS.time():
                await self._recovery.arm(ready)
            armed += ready
            for partition in ready.keys() & self._held.keys():
                held = self._held[partition]
                held.booked = max(held.booked, ready[partition].at)
            self._short.clear()  # a Redis that was set back may have an old note about memory
        for error in found:
            if isinstance(error, BaseException):
                raise error

    async def _unarmed(self) -> set[int]:
        states = await self._outbox.states(list(self._held))
        metrics.UNBOOKED.set(sum(s.n - self._held[p].booked.n for p, s in states.items() if p in self._held))
        mine = {p: (state, self._held[p]) for p, state in states.items() if p in self._held}
        return {
            p for p, (state, held) in mine.items() if state.armed_epoch != held.booked.epoch or not state.armed_epoch
        }

    # --- Housekeeping -------------------------------------------------------------------------------------------------

    async def _watch_memory(self) -> None:
        """Stop new debits on a node whose memory runs short, long before Redis refuses writes; resume them later."""
        while True:
            await asyncio.sleep(MEMORY_PERIOD_S)
            for node in self._store.nodes:
                try:
                    used = await memory_share(node)
                except StoreUnavailableError:
                    continue
                mine = [p for p in self._held if self._outbox.node_of(p) is node]
                before = self._short.get(node.name)
                short = used >= (MEMORY_SHARE_ENOUGH if before else MEMORY_SHARE_MAX)
                if short:
                    # Entries that both readers have may go at once, before the keeping time is over.
                    await self._outbox.trim({p: self._held[p].booked for p in mine})
                if short != before:
                    try:
                        await self._outbox.set_short(mine, short=short)
                    except StoreUnavailableError as error:
                        log.warning("memory.not_told", node=node.name, error=str(error))
                        continue  # tell all of them again, next time
                    self._short[node.name] = short
                    metrics.MEMORY_SHORT.labels(node.name).set(int(short))
                if short != before and (short or before is not None):
                    log.warning("memory.short" if short else "memory.enough", node=node.name, used=round(used, 3))

    async def _keep_trimmed(self) -> None:
        """Keep trimming entries that were booked longer than the keeping time ago; the ledger records up to where."""
        while True:
            await asyncio.sleep(TRIM_PERIOD_S)
            try:
                upto = await advance_marks(self._database, list(self._held), self._keep_s)
                await forget_streak_ends(self._database, int((time.time() - 2 * STREAK_REOPEN_S) * 1000))
            except LedgerUnavailableError:
                continue  # while it is away nothing is booked, so nothing may be trimmed
            if upto:
                await self._outbox.trim(upto)

    @staticmethod
    async def _repeat(sweep: Sweep) -> None:
        while True:
            await asyncio.sleep(sweep.period_s)
            try:
                await sweep.work()
            except (StoreUnavailableError, LedgerUnavailableError) as error:
                log.warning("sweep.failed", sweep=sweep.name, error=str(error))


def run_aggregator(settings: Settings) -> None:
    """Book until SIGTERM or SIGINT."""

    async def main() -> None:
        async with connected(settings) as store:
            database = Database(settings.database_url)
            try:
                await schema.check(database, settings.partitions)
                roots = Outbox(store, settings.partitions).roots
                leases = Leases(store, roots, Aggregator.role, worker_name())
                aggregator = Aggregator(store, leases, database, settings)
                await run_until_stopped(aggregator)
            finally:
                await database.aclose()

    logs.configure(settings.log_format, Aggregator.role, settings.log_level)
    metrics.serve(settings.metrics_port, settings.metrics_host)
    uvloop.run(main())
