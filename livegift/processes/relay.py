"""The relay: reads the journals of its partitions and publishes their entries to the rooms.

Publishing twice is harmless because of the rooms' watermarks, so the relay keeps only a cursor for each partition: the
last entry up to which everything is published everywhere.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import structlog
import uvloop

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.journal import GiftSent
from livegift.domain.entries import Row
from livegift.domain.partitions import Position
from livegift.processes.balances import BalanceTeller
from livegift.processes.publishing import Publisher, in_turn, publication
from livegift.processes.worker import Worker, connected, run_until_stopped, worker_name
from livegift.runtime import logs, metrics
from livegift.runtime.bounds import (
    COMBO_SWEEP_MAX,
    COMBO_SWEEP_S,
    OUTBOX_BLOCK_MS,
    OUTBOX_READ_MAX,
    OUTBOX_READ_PER_PARTITION_MIN,
    RELAY_CURSOR_S,
    RELAY_PACE_S,
    RELAY_RETRY_S,
    RELAY_STATES_S,
    RELAY_UNPUBLISHED_MAX,
)
from livegift.runtime.event_ids import EventIds
from livegift.runtime.settings import Settings
from livegift.store.client import Store
from livegift.store.keys import room_root
from livegift.store.leases import Leases
from livegift.store.outbox import Incarnation, Outbox, PartitionState

log = structlog.get_logger()


class Relay(Worker):
    """Publishes the journals of the partitions that this process holds."""

    role = "relay"

    def __init__(self, store: Store, outbox: Outbox, leases: Leases) -> None:
        """Use a store with its outbox and leases."""
        super().__init__(leases)
        self._store = store
        self._outbox = outbox
        self._balances = BalanceTeller(outbox)
        self._read: dict[int, Position] = {}
        self._durable: dict[int, Position] = {}
        self._incarnations: dict[int, Incarnation] = {}  # of each partition, when it was read
        self._streaks_open: set[int] = set()
        self._publishers: dict[str, Publisher] = {}
        self._readers: dict[tuple[int, ...], asyncio.Task[None]] = {}
        self._moved = asyncio.Event()
        self._ids: EventIds | None = None  # unknown until a partition has been armed

    def side_tasks(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return the tasks that run beside the leases."""
        return [
            ("sweep", self._sweep()),
            ("balances", self._balances.run()),
            ("cursors", self._save_cursors()),
            ("layout", self._follow_layout()),
            ("incarnations", self._follow_incarnations()),
        ]

    async def on_leases(self, won: set[int], lost: set[int]) -> None:
        """Follow the partitions won from their cursors on, and drop those lost."""
        for partition in lost:
            self._read.pop(partition, None)
            self._durable.pop(partition, None)
            self._incarnations.pop(partition, None)
            self._drop(partition)
        states = await self._outbox.states(won)
        if won - set(states):
            raise StoreUnavailableError(f"no state of partitions {sorted(won - set(states))}")
        for partition, state in states.items():
            self._begin(partition, state)
        self._streaks_open |= won
        wanted = set(self._outbox.read_groups(self._read))
        for group in set(self._readers) - wanted:
            self._readers.pop(group).cancel()
        for group in wanted - set(self._readers):
            self._readers[group] = self.start(f"follow {group[0]}", self._follow(group))

    def _begin(self, partition: int, state: PartitionState) -> None:
        self._read[partition] = self._durable[partition] = state.relayed
        self._incarnations[partition] = state.incarnation
        if self._ids is None and state.event_id_key:
            self._ids = EventIds(state.event_id_key)

    async def _event_ids(self, partitions: Iterable[int]) -> EventIds:
        """Return the mapping of event ids. Arming stores its key, and a partition has no entries before it is armed.

        Raises StoreUnavailableError.
        """
        if self._ids is None:
            states = await self._outbox.states(partitions)
            key = next((state.event_id_key for state in states.values() if state.event_id_key), b"")
            if not key:
                raise StoreUnavailableError("no partition has the key of event ids: is an aggregator running?")
            self._ids = EventIds(key)
        return self._ids

    def _drop(self, partition: int) -> None:
        for publisher in self._publishers.values():
            publisher.drop(partition)

    async def _follow_incarnations(self) -> None:
        """Restart the partitions whose Redis has lost something, or whose cursor was set back.

        What was read before may not count any more. (Rooms refuse it anyway, as another relay may not notice.)
        """
        while True:
            await asyncio.sleep(RELAY_STATES_S)
            states = await self._outbox.states(list(self._read))
            others = {
                p: state
                for p, state in states.items()
                if p in self._read and self._incarnations[p] != state.incarnation
            }
            for partition, state in others.items():
                log.debug("relay.cursor_set", partition=partition, at=str(state.relayed), epoch=state.epoch)
                self._drop(partition)
                self._begin(partition, state)
                self._streaks_open.add(partition)
            if others:
                log.info("relay.begins_again", count=len(others))

    async def _follow(self, group: tuple[int, ...]) -> None:
        """Keep reading new entries of a read group and passing them to the publishers."""
        node = self._outbox.node_of(group[0])
        link = node.link()
        count = max(OUTBOX_READ_MAX // len(group), OUTBOX_READ_PER_PARTITION_MIN)
        try:
            while True:
                try:
                    if not link.is_open:
                        node = self._outbox.node_of(group[0])
                        link = await node.link().open()
                    cursors = {p: self._read[p] for p in group if p in self._read}
                    found = await self._outbox.wait(link, cursors, count, OUTBOX_BLOCK_MS)
                    ids = await self._event_ids(found) if found else None
                except StoreUnavailableError as error:
                    log.warning("relay.read_failed", node=node.name, error=str(error))
                    await link.close()
                    await self._refresh()
                    await asyncio.sleep(RELAY_RETRY_S)
                    continue
                if ids is not None:
                    self._hand_out(cursors, found, ids)
                    while sum(publisher.size for publisher in self._publishers.values()) > RELAY_UNPUBLISHED_MAX:
                        await asyncio.sleep(RELAY_RETRY_S)
                    # Entries that arrive within this pause are read together.
                    await asyncio.sleep(RELAY_PACE_S)
        finally:
            await link.close()

    def _hand_out(self, cursors: Mapping[int, Position], found: dict[int, list[Row]], ids: EventIds) -> None:
        # The others were lost, or restarted while this was read.
        mine = {p: rows for p, rows in found.items() if self._read.get(p) == cursors[p]}
        for partition, row in in_turn(mine):
            if isinstance(row.entry, GiftSent):
                self._balances.note(partition, row.entry)
                if not row.entry.repeat_end:
                    self._streaks_open.add(partition)
            if row.entry is None:
                log.error("relay.unreadable_entry", partition=partition, position=str(row.position))
            target = publication(partition, row, self._incarnations[partition], ids)
            if target is not None:
                self._publisher_of(target[0]).add(*target)
        for partition, rows in mine.items():
            self._read[partition] = rows[-1].position

    def _publisher_of(self, room: str) -> Publisher:
        node = self._store.node_of(room_root(room))
        publisher = self._publishers.get(node.name)
        if publisher is None:
            publisher = self._publishers[node.name] = Publisher(node, self._store)
            self.start(f"publish {node.name}", publisher.run(self._moved))
        return publisher

    async def _follow_layout(self) -> None:
        """Pass each waiting room to the publisher of its new node after a change of the cluster's layout."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            await self._refresh()
            waiting = [publisher.take_all() for publisher in list(self._publishers.values())]
            for queues in waiting:
                for room, queue in queues.items():
                    for item in queue:
                        self._publisher_of(room).add(room, item)
            await asyncio.sleep(RELAY_RETRY_S)

    async def _refresh(self) -> None:
        try:
            await self._store.refresh()
        except StoreUnavailableError as error:
            log.warning("relay.layout_unknown", error=str(error))

    async def _save_cursors(self) -> None:
        while True:
            await asyncio.sleep(RELAY_CURSOR_S)
            await self._save_cursors_once()

    async def _save_cursors_once(self) -> None:
        """Store for each partition the last entry before the first that is not published everywhere."""
        done = dict(self._read)
        count = 0
        for publisher in self._publishers.values():
            for item in publisher.waiting():
                count += 1
                before = Position(item.position.epoch, item.position.n - 1)
                if item.partition in done and before < done[item.partition]:
                    done[item.partition] = before
        metrics.UNPUBLISHED.set(count)
        news = {p: position for p, position in done.items() if position > self._durable.get(p, position)}
        incarnations = {p: self._incarnations[p] for p in news}
        for partition in await self._outbox.advance("relayed", news, incarnations):
            if self._incarnations.get(partition) == incarnations[partition]:
                self._durable[partition] = news[partition]

    async def _sweep(self) -> None:
        """Keep ending expired streaks, in partitions where any can be open."""
        while True:
            await asyncio.sleep(COMBO_SWEEP_S)
            still_open = await self._outbox.sweep_streaks(self._streaks_open & set(self._read), COMBO_SWEEP_MAX)
            self._streaks_open -= {partition for partition, count in still_open.items() if count == 0}

    async def on_stop(self) -> None:
        """Save the cursors, so that the next relay begins there."""
        await self._save_cursors_once()


def run_relay(settings: Settings) -> None:
    """Run a relay until SIGTERM or SIGINT."""

    async def main() -> None:
        async with connected(settings) as store:
            outbox = Outbox(store, settings.partitions)
            await run_until_stopped(Relay(store, outbox, Leases(store, outbox.roots, Relay.role, worker_name())))

    logs.configure(settings.log_format, Relay.role, settings.log_level)
    metrics.serve(settings.metrics_port, settings.metrics_host)
    uvloop.run(main())
