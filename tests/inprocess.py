"""Relay and aggregator as tasks of the test itself, for tests that need their work but not their processes."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Self
from uuid import uuid4

import psycopg

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.events import details_shown, sender_shown, shown
from livegift.domain.allowances import NO_POLICY, Policy
from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, GiftSend
from livegift.features.grants.service import grant_coins
from livegift.ledger import rooms
from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.operations.audit import Report
from livegift.processes.aggregator import Aggregator
from livegift.processes.relay import Relay
from livegift.processes.worker import Worker
from livegift.runtime.settings import Settings
from livegift.store.client import Store, StoreRefusedError
from livegift.store.leases import Leases
from livegift.store.outbox import Outbox
from livegift.store.wallets import Display, Outcome, Unknown, Wallets, gift_send, parse_outcome
from tests.booking import audit
from tests.waiting import wait_until


class InProcess:
    """Use as `async with InProcess(settings) as system`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._stops: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        settings = self.settings
        self.store = await Store.connect(settings.redis_url)
        self._stack.push_async_callback(self.store.aclose)
        self.database = Database(settings.database_url)
        self._stack.push_async_callback(self.database.aclose)
        self.outbox = Outbox(self.store, settings.partitions)
        self.wallets = Wallets(self.store, settings.partitions, settings.ref_ttl_s)
        self._stack.push_async_callback(self.stop_all)
        self.start_relay()
        self.start_aggregator()
        await wait_until(self._all_armed, "all partitions are armed")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _all_armed(self) -> bool:
        states = await self.outbox.states(self.outbox.roots)
        return all(state.armed_epoch for state in states.values())

    def start_relay(self) -> None:
        self.start(Relay(self.store, self.outbox, Leases(self.store, self.outbox.roots, "relay", "relay-1")))

    def start_aggregator(self) -> None:
        leases = Leases(self.store, self.outbox.roots, "aggregator", "aggregator-1")
        self.start(Aggregator(self.store, leases, self.database, self.settings))

    def start(self, worker: Worker) -> None:
        stop = self._stops[worker.role] = asyncio.Event()
        self._tasks[worker.role] = asyncio.create_task(worker.run(stop))

    async def stop(self, role: str) -> None:
        self._stops[role].set()
        await self._tasks[role]

    async def stop_all(self) -> None:
        for role in self._tasks:
            await self.stop(role)

    async def open_room(self, room: str, creator: str) -> None:
        await rooms.open_room(self.database, room, creator, creator.title(), room, "live")

    async def grant(self, user: str, coins: int, ref: str = "start") -> None:
        assert await grant_coins(self.database, self.wallets, f"{ref}-{user}", user, coins)

    async def gift(
        self, user: str, room: str, to: str, gift_id: str, ref: str, *, policy: Policy = NO_POLICY
    ) -> Accepted:
        """Debit one gift, as a hub would."""
        outcome = await self.try_gift(user, room, to, gift_id, ref, policy=policy)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    async def try_gift(
        self,
        user: str,
        room: str,
        to: str,
        gift_id: str,
        ref: str,
        payload: str = "ab",
        *,
        policy: Policy = NO_POLICY,
    ) -> Outcome:
        kind = next(kind for kind in DEFAULT_GIFTS if kind.id == gift_id)
        numbers = kind.coins, 1, kind.diamond_count
        send = GiftSend(user, ref, payload, room, to, gift_id, *numbers, kind.streakable, policy=policy)
        root = self.outbox.roots[partition_of(user, self.settings.partitions)]
        display = Display(shown(sender_shown(user, None), details_shown(to, kind)))
        command = gift_send(root, [(send, display)], int(time.time() * 1000), self.settings.combo_timeout_ms, 86_400)
        try:
            (reply,) = await self.store.call(command)
        except StoreRefusedError as error:
            return Unknown(str(error))  # as the hub says it
        return parse_outcome(reply)

    async def wait_reachable(self) -> None:
        """All nodes answer, and a cluster is whole."""

        async def reachable() -> bool:
            try:
                await self.store.refresh()
                return len(await self.outbox.states(self.outbox.roots)) == len(self.outbox.roots)
            except StoreUnavailableError:
                return False

        await wait_until(reachable, "all nodes answer", 30)

    async def save_ledger(self) -> str:
        """A copy of the database as it is; nobody may be connected to it for a moment."""
        name = f"saved_{uuid4().hex}"
        await self._copy_database(self.settings.database_url.rpartition("/")[2], name)
        return name

    async def put_back_ledger(self, saved: str) -> None:
        """The database becomes what it was."""
        await self._copy_database(saved, self.settings.database_url.rpartition("/")[2])

    async def _copy_database(self, source: str, target: str) -> None:
        await self.database.aclose()
        base = self.settings.database_url.rpartition("/")[0]
        async with await psycopg.AsyncConnection.connect(f"{base}/postgres", autocommit=True) as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)'.encode())
            await connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"'.encode())

    async def audit(self, wait_s: float = 30.0) -> Report:
        return await audit(self.settings, wait_s)


async def armed_again(system: InProcess) -> None:
    """All partitions are armed under the epoch that the ledger knows."""

    async def done() -> bool:
        try:
            states = await system.outbox.states(system.outbox.roots)
        except StoreUnavailableError:
            return False
        checkpoints = await read_checkpoints(system.database)
        return len(states) == len(checkpoints) and all(
            state.armed_epoch == checkpoints[p].position.epoch != 0 for p, state in states.items()
        )

    await wait_until(done, "all partitions are armed again", 30)


async def passes(system: InProcess) -> None:
    """The audit finds nothing."""
    report = await system.audit()
    assert report.passed, report.to_text()
