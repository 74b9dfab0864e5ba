"""A run of one plan against the real system: operations are in flight while faults strike."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from livegift.contract.errors import LivegiftError
from livegift.features.grants.service import grant_coins
from livegift.ledger.engine import Database
from livegift.store.client import Store
from livegift.store.wallets import Wallets
from tests.conftest import PARTITIONS
from tests.faults import settling
from tests.faults.clients import Sender, Watcher
from tests.faults.commerce import (
    EVERY,
    LIMITS,
    PROMOTED,
    RETURNABLE,
    SPREE_GIFT,
    Buy,
    Deal,
    Deliver,
    Limit,
    PayoutAct,
    Reverse,
    Spree,
    Undo,
    Withdraw,
)
from tests.faults.generator import (
    POOR,
    USERS,
    WEBS,
    EndMatch,
    EndRoom,
    FundMatch,
    GrantCoins,
    OpenRoom,
    Operation,
    Segment,
    Send,
    Settle,
    Strike,
    Watch,
    creator_of,
)
from tests.faults.kinds import REGISTRY
from tests.faults.kinds.registry import SkippedError
from tests.faults.limited import Limited
from tests.faults.model import Grant, Payload, Sponsored
from tests.faults.patience import LONGER_MAX, NotInTimeError
from tests.faults.payouts import Payouts
from tests.faults.purchases import Purchases
from tests.faults.results import Result
from tests.faults.undoing import Undoing
from tests.faults.world import World

BURST = 30  # operations in flight when a fault strikes
PACE_S = 0.01
IN_FLIGHT_MAX = 400
DEALS_AT_ONCE = 4
REST_SHARE = 0.6  # of faults strike a system that takes money; the others may strike while it recovers
STRIKE_TIMEOUT_S = 90.0 * LONGER_MAX


class Run:
    """A run of one seed."""

    def __init__(self, world: World, result: Result) -> None:
        self.world = world
        self.model = world.model
        self.result = result
        self.purchases = Purchases(world)
        self.payouts = Payouts(world)
        self.undoing = Undoing(world, USERS[-1])
        self.limited = Limited(world, USERS[-1], LIMITS[0])
        self.senders: dict[tuple[str, int], Sender] = {}
        self.watchers: list[Watcher] = []
        self.rooms: list[str] = []  # that are live, or about to be
        self._tasks: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._deals: Iterator[Deal] = iter(())
        self._deals_at_once = asyncio.Semaphore(DEALS_AT_ONCE)

    async def open(self, stack: AsyncExitStack) -> None:
        """Connect all clients."""
        system = self.world.system
        for web in range(WEBS):
            address = system.address(f"web {web + 1}")
            for user in (*USERS, *POOR):
                sender = Sender(address, user, system.token(user), self.model)
                stack.push_async_callback(sender.aclose)
                self.senders[user, web] = sender
            watcher = Watcher(address, system.token(f"watcher-{web}"), self.model)
            stack.push_async_callback(watcher.aclose)
            self.watchers.append(watcher)
        self.store = await Store.connect(self.world.harness_settings.redis_url)
        stack.push_async_callback(self.store.aclose)
        self.database = Database(self.world.harness_settings.database_url)
        stack.push_async_callback(self.database.aclose)
        self.wallets = Wallets(self.store, PARTITIONS, self.world.settings.ref_ttl_s)

    async def play(self, before: list[Operation], segments: list[Segment], deals: Sequence[Deal]) -> None:
        await settling.rested(self.world)
        for operation in before:
            await self.do(operation)
        self.result.late += await settling.settle_grants(self)
        self.result.late += await settling.settle_limits(self)
        await self._promote()
        await self.purchases.sell()
        self._deals = iter(deals)
        for watcher in self.watchers:
            for operation in before:
                if isinstance(operation, OpenRoom):
                    await watcher.join(operation.room, with_since=False)
        for segment in segments:
            await self._play(segment)
        await asyncio.gather(*self._background)
        await self.finish()

    async def _play(self, segment: Segment) -> None:
        operations = list(segment.operations)
        for operation in operations[:BURST]:
            await self._begin(operation)
        if segment.strike is None:
            rest = operations[BURST:]
        else:
            rest = await self._strike_during(segment.strike, operations[BURST:])
        for operation in rest:
            await self._begin(operation)

    async def _strike_during(self, strike: Strike, operations: list[Operation]) -> list[Operation]:
        """Run operations, at a slower pace, for as long as the fault takes; returns those that are left."""
        fault = asyncio.create_task(self._strike(strike), name=f"{strike}")
        rest = iter(operations)
        while not fault.done():
            operation = next(rest, None)
            if operation is None:
                break
            await self._begin(operation)
            await asyncio.sleep(PACE_S)
        await fault
        return list(rest)

    async def _strike(self, strike: Strike) -> None:
        rng = Random(strike.seed)  # noqa: S311 - repeatable on purpose
        kinds = [REGISTRY[name] for name in strike.kinds]
        if rng.random() < REST_SHARE:
            began = time.monotonic()
            rested = await settling.rested(self.world)
            self.result.rests.append(round(time.monotonic() - began, 2))
            if not rested:
                self.world.notes.append(f"before {strike.kinds}: it took no money for long")
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                work = self._strike_one(kind.name, Random(rng.randrange(2**32)))  # noqa: S311 - as above
                if kind.in_background:
                    self._background.append(asyncio.create_task(work, name=kind.name))
                else:
                    group.create_task(work)

    async def _strike_one(self, name: str, rng: Random) -> None:
        try:
            async with asyncio.timeout(STRIKE_TIMEOUT_S):
                await REGISTRY[name].strike(self.world, rng)
        except SkippedError as error:
            self.result.skipped[name] = str(error)
            return
        except (NotInTimeError, TimeoutError) as error:
            # What it should have lost was not recorded, so it is unknown what should be there.
            self.result.late.append(f"the fault {name} did not get through: {error!r}")
            return
        self.result.faults[name] += 1

    async def _begin(self, operation: Operation) -> None:
        """Start an operation. Waits only while very many have no answer yet."""
        while len(self._tasks) >= IN_FLIGHT_MAX:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self.do(operation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.result.operations += 1
        deal = next(self._deals, None) if self.result.operations % EVERY == 0 else None
        if deal is not None:
            task = asyncio.create_task(self.deal(deal))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.result.deals += 1

    async def finish(self) -> None:
        """Wait for everything that was begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    # --- Operations ---------------------------------------------------------------------------------------------------

    async def do(self, operation: Operation) -> None:
        match operation:
            case Send():
                await self._send(operation)
            case Settle(pick, web):
                unsettled = self.model.unsettled()
                if unsettled:
                    ref = unsettled[pick % len(unsettled)]
                    await self.senders[ref.user, web].gift(ref.ref, ref.attempts[0].payload)
            case GrantCoins(user, coins, ref):
                self.model.grants[ref] = Grant(user, coins)
                await self.grant(ref)
            case OpenRoom(room):
                self.rooms.append(room)
                await self._room("POST", "/v1/rooms", {"id": room, "title": room}, room)
            case EndRoom(room):
                self.rooms.remove(room)
                await self._room("PATCH", f"/v1/rooms/{room}", {"status": "ended"}, room)
            case FundMatch(key, room, brand, gift_id, factor, budget):
                self.model.matches[key] = Sponsored(room, brand, gift_id, factor, budget)
                await self.fund_match(key)
            case EndMatch(pick):
                there = [match for match in self.model.matches.values() if match.match_id]
                if there:
                    match = there[pick % len(there)]
                    await self.end_match(match.room, match.match_id or "")
            case Watch(viewer, room, with_since):
                await self.watchers[viewer].join(room, with_since=with_since)

    async def _send(self, send: Send) -> None:
        copies = Counter(send.webs)
        await asyncio.gather(
            *(self.senders[send.user, web].gift(send.ref, send.payload, n) for web, n in copies.items())
        )

    async def grant(self, ref: str) -> None:
        grant = self.model.grants[ref]
        try:
            await grant_coins(self.database, self.wallets, ref, grant.user, grant.coins)
        except LivegiftError:
            return
        grant.is_certain = True

    async def fund_match(self, key: str) -> None:
        """Fund a match once, and record the answer if there is one."""
        match = self.model.matches[key]
        body = {"sponsor": match.brand, "sponsor_name": match.brand, "title": key, "gift_id": match.gift_id}
        body |= {"factor": match.factor, "budget_coins": match.budget}
        status, answer = await self._admin("POST", f"/v1/admin/rooms/{match.room}/matches", body, key)
        if status == 201:
            match.match_id = answer["id"]
        elif 400 <= status < 500:
            match.match_id = ""

    async def end_match(self, room: str, match_id: str) -> bool:
        """End a match. Returns whether it is certain to have ended."""
        status, _ = await self._admin("DELETE", f"/v1/admin/rooms/{room}/matches/{match_id}")
        return 200 <= status < 500  # 404: a ledger that was set back does not know it

    async def _admin(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
        system = self.world.system
        token, web = system.token("root", "admin"), f"web {int(time.monotonic() * 1000) % WEBS + 1}"
        return await asyncio.to_thread(system.http, method, path, body, token=token, web=web, key=key)

    async def deal(self, deal: Deal) -> None:
        """Run a deal, a few at a time, so that deals on orders also find some that were answered."""
        async with self._deals_at_once, self.world.ledger_stays.together():
            match deal:
                case Buy():
                    await self.purchases.buy(deal)
                case Deliver():
                    await self.purchases.deliver(deal)
                case Reverse():
                    await self.purchases.reverse(deal)
                case Withdraw():
                    await self.purchases.withdraw(deal)
                case Undo():
                    await self.undoing.undo(deal)
                case Spree():
                    await self._spree(deal)
                case Limit(coins, web):
                    await self.limited.lower(coins, web)
                case PayoutAct():
                    await self.payouts.do(deal)

    async def _spree(self, deal: Spree) -> None:
        """Spend coins that were just bought, and withdraw the order at the same time."""
        purchase = await self.purchases.buy_and_pay(Buy(deal.key, deal.user, RETURNABLE, (deal.web,)))
        if purchase is None or not self.rooms:
            return
        payloads = [Payload(self.rooms[deal.pick % len(self.rooms)], SPREE_GIFT, count) for count in deal.gifts]
        await asyncio.gather(
            *(self.senders[deal.user, deal.web].gift(f"{deal.key}-{i}", p) for i, p in enumerate(payloads)),
            *(self.purchases.give_back(purchase, number % WEBS) for number in range(deal.withdrawals)),
        )

    async def _promote(self) -> None:
        body = {"package_id": PROMOTED, "bonus_coins": 55, "starts_ms": 0, "ends_ms": 10**13, "per_user_max": 1}
        status, answer = await self._admin("PUT", "/v1/admin/promotions/once", body)
        if status != 200:
            self.world.notes.append(f"the promotion: {status} {answer}")

    async def _room(self, method: str, path: str, body: object, room: str) -> None:
        """Repeat a room's request until it is done: without rooms there is nothing to test."""
        token = self.world.system.token(creator_of(room), "creator")
        async with self.world.ledger_stays.together():
            for attempt in range(100):
                web = f"web {attempt % WEBS + 1}"
                status, answer = await asyncio.to_thread(
                    self.world.system.http, method, path, body, token=token, web=web
                )
                if status in (200, 201):
                    return
                await asyncio.sleep(0.1)  # a pause between attempts
        self.world.notes.append(f"{method} {path}: {status} {answer}")
