"""Publishing to rooms: the publications that journal entries become, and the queue of one node's rooms."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from random import random

import structlog

from livegift.contract.bounds import ANONYMOUS_TIME_MS
from livegift.contract.errors import StoreUnavailableError
from livegift.contract.events import gift_event, shown_ms, streak_end_event
from livegift.contract.journal import GiftSent, StreakEnded, WalletChanged
from livegift.domain.entries import Row
from livegift.runtime import metrics
from livegift.runtime.bounds import (
    RELAY_EVENTS_PER_PUBLISH_MAX,
    RELAY_PUBLISH_DEADLINE_S,
    RELAY_RETRY_S,
    RELAY_ROOMS_PER_EXCHANGE_MAX,
)
from livegift.runtime.event_ids import EventIds
from livegift.store.client import Node, Store, moved, refused
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Publication, publish, revoked_gift

log = structlog.get_logger()


def publication(partition: int, row: Row, incarnation: Incarnation, ids: EventIds) -> tuple[str, Publication] | None:
    """Return the room that an entry concerns and its publication, or None for an entry that no room sees."""
    entry = row.entry
    if isinstance(entry, GiftSent):
        streak = "" if entry.repeat_end else entry.combo_id
        return entry.room, Publication(
            partition,
            row.position,
            "gift",
            coins=entry.coins,
            diamonds=entry.diamonds,
            user=entry.user,
            anonymous=entry.anonymous,
            user_json=bytes(entry.user_json),
            combo_id=streak,
            body=gift_event(ids.at(partition, row.position), ids.of_streak(entry.combo_id), entry),
            ts_ms=entry.ts_ms,
            incarnation=incarnation,
        )
    if isinstance(entry, StreakEnded):
        return entry.room, Publication(
            partition,
            row.position,
            "end",
            coins=0,
            diamonds=0,
            user=entry.user,
            anonymous=entry.anonymous,
            user_json=bytes(entry.user_json),
            combo_id=entry.combo_id,
            body=streak_end_event(ids.at(partition, row.position), ids.of_streak(entry.combo_id), entry),
            ts_ms=entry.ts_ms,
            incarnation=incarnation,
        )
    if isinstance(entry, WalletChanged) and entry.revokes is not None:
        gift = entry.revokes
        return gift.room, Publication(
            partition,
            row.position,
            "revoke",
            coins=gift.coins,
            diamonds=gift.diamonds,
            user=entry.user,
            anonymous=gift.anonymous,
            user_json=b"",
            combo_id=gift.combo_id,
            body=revoked_gift(ids.of(gift.event_id), ids.of_streak(gift.combo_id), gift.count),
            ts_ms=shown_ms(entry.ts_ms, anonymous=gift.anonymous),
            incarnation=incarnation,
        )
    return None


def in_turn(found: Mapping[int, Sequence[Row]]) -> Iterable[tuple[int, Row]]:
    """Merge what was read together: each partition's entries in order, but those of one second mixed at random.

    In order of partitions, the events around an anonymous gift would reveal its partition.
    """
    if len(found) == 1:
        return ((partition, row) for partition, rows in found.items() for row in rows)
    turns = [
        (getattr(row.entry, "ts_ms", 0) // ANONYMOUS_TIME_MS, random(), partition)  # noqa: S311 - not a secret
        for partition, rows in found.items()
        for row in rows
    ]
    turns.sort()
    waiting = {partition: iter(rows) for partition, rows in found.items()}
    return ((partition, next(waiting[partition])) for _, _, partition in turns)


class Publisher:
    """Publishes to the rooms of one node, in order, one exchange at a time; what arrives meanwhile is the next batch.

    A room that is refused waits alone. Nothing overtakes within a room, because its watermark would then hide the
    entries that were overtaken.
    """

    def __init__(self, node: Node, store: Store) -> None:
        """Publish to `node`; `store` tells when a room has moved to another one."""
        self._node = node
        self._store = store
        self._queues: dict[str, deque[Publication]] = {}
        self._blocked_until: dict[str, float] = {}
        self._work = asyncio.Event()

    def add(self, room: str, item: Publication) -> None:
        """Queue one publication."""
        self._queues.setdefault(room, deque()).append(item)
        self._work.set()

    def waiting(self) -> Iterable[Publication]:
        """Return everything not yet published."""
        return (item for queue in self._queues.values() for item in queue)

    @property
    def size(self) -> int:
        """Return how many publications wait."""
        return sum(map(len, self._queues.values()))

    def drop(self, partition: int) -> None:
        """Drop the waiting entries of a partition: they may not count any more, and are read again if they do."""
        for room in list(self._queues):
            kept = deque(item for item in self._queues[room] if item.partition != partition)
            if kept:
                self._queues[room] = kept
            else:
                del self._queues[room]
        if not self._queues:
            self._work.clear()

    def take_all(self) -> dict[str, deque[Publication]]:
        """Empty and return the queues, for another node's publisher."""
        queues, self._queues = self._queues, {}
        return queues

    async def run(self, on_moved: "asyncio.Event") -> None:
        """Publish until cancelled. Sets `on_moved` when the cluster's layout has changed."""
        link = self._node.link()
        try:
            while True:
                await self._work.wait()
                batch = self._next_batch()
                if not batch:
                    await asyncio.sleep(RELAY_RETRY_S)
                    continue
                try:
                    if not link.is_open:
                        link = await self._node.link().open()
                    commands = [publish(room, items) for room, items in batch]
                    replies = await link.exchange(commands, RELAY_PUBLISH_DEADLINE_S)
                except StoreUnavailableError as error:
                    log.warning("relay.publish_failed", node=self._node.name, error=str(error))
                    await asyncio.sleep(RELAY_RETRY_S)
                    if self._store.is_cluster:
                        on_moved.set()
                    continue
                if moved(replies):
                    on_moved.set()
                self._settle(batch, replies)
        finally:
            await link.close()

    def _next_batch(self) -> list[tuple[str, list[Publication]]]:
        now = asyncio.get_running_loop().time()
        batch = []
        for room, queue in self._queues.items():
            if self._blocked_until.get(room, 0.0) <= now:
                batch.append((room, [queue[i] for i in range(min(len(queue), RELAY_EVENTS_PER_PUBLISH_MAX))]))
                if len(batch) >= RELAY_ROOMS_PER_EXCHANGE_MAX:
                    break
        return batch

    def _settle(self, batch: list[tuple[str, list[Publication]]], replies: list[object]) -> None:
        for (room, items), reply in zip(batch, replies, strict=True):
            message = refused(reply)
            if message is not None:
                log.warning("relay.room_refused", room=room, error=message)
                self._blocked_until[room] = asyncio.get_running_loop().time() + RELAY_RETRY_S
                continue
            self._blocked_until.pop(room, None)
            queue = self._queues.get(room)
            if queue is None:
                continue  # taken meanwhile: another publisher repeats it, which changes nothing
            for item in items:
                if queue and queue[0] is item:  # else it was dropped meanwhile
                    queue.popleft()
            if queue:
                self._queues[room] = self._queues.pop(room)  # to the end of the queue
            else:
                del self._queues[room]
            metrics.PUBLISHED.inc(len(items))
        if not self._queues:
            self._work.clear()
