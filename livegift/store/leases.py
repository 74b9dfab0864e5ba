"""Leases: the division of partitions among the workers. Correctness never rests on them.

A worker that was paused beyond its lease may still publish or book what it has read. That is harmless: rooms skip
entries at or below their watermark, the ledger's checkpoint moves only by compare-and-set, cursors only go forwards.
See docs/decisions/004-leases.md.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime.bounds import LEASE_TTL_MS, WORKER_TTL_MS
from livegift.store import keys
from livegift.store.client import Store
from livegift.store.functions.leases import lease_release, lease_take, worker_seen


def fair_share(partitions: int, workers: int) -> int:
    """Return how many partitions one of `workers` may hold, so that all partitions are held."""
    return math.ceil(partitions / max(workers, 1))


async def live_workers(store: Store, role: str) -> int:
    """Return how many workers of a role have been seen within WORKER_TTL_MS. Raises StoreUnavailableError."""
    name = keys.workers(role)
    seconds, microseconds = await store.call_plain(name, ("TIME",))
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    return int(await store.call_plain(name, ("ZCOUNT", name, f"({now_ms}", "+inf")))


class Leases:
    """The leases of one worker in one role ('relay', 'aggregator')."""

    def __init__(self, store: Store, roots: Mapping[int, str], role: str, worker: str) -> None:
        """Hold nothing yet. `worker` is unique among all processes."""
        self._store = store
        self._roots = roots
        self._role = role
        self._worker = worker
        self._workers = 1
        self.held: dict[int, int] = {}

    async def renew(self) -> tuple[set[int], set[int]]:
        """Renew the held leases, give back those above the fair share, and take free ones.

        Returns the partitions won and lost. A lease that can't be renewed counts as lost. A dead node affects only its
        own partitions.
        """
        before = set(self.held)
        await self._count_workers()
        share = fair_share(len(self._roots), self._workers)
        await self._release(sorted(self.held)[share:])
        tokens = await self._take(sorted(self.held))
        self.held = {partition: token for partition, token in tokens.items() if token == self.held[partition]}
        missing = share - len(self.held)
        if missing > 0:
            # Each worker starts at another place, so that they rarely ask for the same partitions.
            start = hash(self._worker) % len(self._roots)
            free = [partition for partition in self._roots if partition not in self.held and partition not in before]
            free.sort(key=lambda partition: (partition - start) % len(self._roots))
            while free and missing > 0:
                asked, free = free[:missing], free[missing:]
                self.held |= {partition: token for partition, token in (await self._take(asked)).items() if token}
                missing = share - len(self.held)
        return set(self.held) - before, before - set(self.held)

    async def release_all(self) -> None:
        """Give all leases back, so that other workers can go on at once."""
        await self._release(list(self.held))
        with suppress(StoreUnavailableError):  # the registration expires
            await self._seen(0)

    async def _count_workers(self) -> None:
        with suppress(StoreUnavailableError):  # the last known number will do
            self._workers = await self._seen(WORKER_TTL_MS)

    async def _seen(self, ttl_ms: int) -> int:
        return int(await self._store.call(worker_seen(keys.workers(self._role), self._worker, ttl_ms)))

    async def _take(self, partitions: Sequence[int]) -> dict[int, int]:
        """Take or renew leases. Returns the token of each lease that was granted, 0 for the others."""
        replies = await self._store.call_many(
            [lease_take(self._roots[p], self._role, self._worker, LEASE_TTL_MS) for p in partitions]
        )
        tokens = (0 if isinstance(reply, Exception) else int(reply) for reply in replies)
        return dict(zip(partitions, tokens, strict=True))

    async def _release(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self.held.pop(partition, None)
        # A lease that can't be given back expires.
        await self._store.call_many([lease_release(self._roots[p], self._role, self._worker) for p in partitions])
