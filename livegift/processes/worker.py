"""The common base of relay and aggregator: leases, owned tasks, an orderly stop."""

import asyncio
import os
import platform
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime import metrics
from livegift.runtime.bounds import DRAIN_TIMEOUT_S, LEASE_RENEW_S
from livegift.runtime.garbage import freeze_loaded_objects
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.leases import Leases
from livegift.store.server import check_servers

log = structlog.get_logger()


class Worker:
    """A process that works on the partitions whose leases it holds.

    Every task has an owner: it is started by `start`, a task that dies stops the worker, and no task outlives `run`.
    """

    role = ""

    def __init__(self, leases: Leases) -> None:
        """Hold partitions by `leases`, which are of this worker's role."""
        self._leases = leases
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[bool] | None = None

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends, is cancelled or the worker stops. An exception in it stops the worker."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("worker.task_died", role=self.role, task=task.get_name(), exc_info=task.exception())
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(task.exception() or RuntimeError(task.get_name()))

    def side_tasks(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return the tasks that run from start to stop beside the leases, each with a name for the log."""
        return []

    async def on_leases(self, won: set[int], lost: set[int]) -> None:
        """React to a change of the held partitions. May raise StoreUnavailableError: then it is called again."""

    async def on_stop(self) -> None:
        """Do the last work while the leases are still held."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises the exception of a task that died."""
        self._failed = asyncio.get_running_loop().create_future()
        for name, work in self.side_tasks():
            self.start(name, work)
        leases = self.start("leases", self._keep_leases())
        stopped: asyncio.Future[bool] = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([stopped, self._failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            leases.cancel()
            await self._stop_tasks()
        if self._failed.done():
            await self._failed

    async def _stop_tasks(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                tasks = list(self._tasks)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self.on_stop()
                await self._leases.release_all()
        except (TimeoutError, StoreUnavailableError) as error:
            log.warning("worker.stop_incomplete", role=self.role, error=repr(error))

    async def _keep_leases(self) -> None:
        pending_won: set[int] = set()
        pending_lost: set[int] = set()
        while True:
            won, lost = await self._leases.renew()
            pending_won = (pending_won - lost) | won
            pending_lost = (pending_lost - won) | lost
            metrics.PARTITIONS_HELD.labels(self.role).set(len(self._leases.held))
            if pending_won or pending_lost:
                log.info("worker.leases", role=self.role, held=len(self._leases.held), won=len(won), lost=len(lost))
                try:
                    await self.on_leases(pending_won, pending_lost)
                except StoreUnavailableError as error:
                    log.warning("worker.leases_not_followed", role=self.role, error=str(error))
                else:
                    pending_won, pending_lost = set(), set()
            await asyncio.sleep(LEASE_RENEW_S)


def worker_name() -> str:
    """Return a name that is unique among all processes of all machines."""
    return f"{platform.node()}-{os.getpid()}-{token_hex(4)}"


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Store]:
    """Connect to a Redis with the functions of this version. Raises StoreUnavailableError or ConfigError."""
    store = await Store.connect(settings.redis_url)
    try:
        await check_servers(store, settings.durability)
        await functions.check(store)
        yield store
    finally:
        await store.aclose()


async def run_until_stopped(worker: Worker) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    freeze_loaded_objects()
    log.info("worker.started", role=worker.role)
    await worker.run(stop)
    log.info("worker.stopped", role=worker.role)
