"""The micro-batcher: gifts that arrive while a batch is in flight are the next batch.

Each Redis node has a lane: one connection, one exchange at a time, one deadline. A node that is dead or slow stalls
nobody who has a wallet elsewhere, and nothing is ever repeated behind the sender's back.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from livegift import metrics
from livegift.domain.partitions import partition_of
from livegift.domain.spending import GiftSend
from livegift.errors import StoreUnavailableError
from livegift.limits import GIFT_BATCH_MAX, GIFT_DEADLINE_S, GIFT_QUEUE_MAX, GIFTS_PER_CALL_MAX
from livegift.store.client import Link, Node, Store, moved
from livegift.store.keys import partition_roots
from livegift.store.wallets import Display, Outcome, Unknown, batch_outcomes, gift_send

log = structlog.get_logger()

Reply = Callable[[Outcome], None]


@dataclass(slots=True)
class _Waiting:
    gift: GiftSend
    display: Display
    root: str
    reply: Reply
    since: float


class _Lane:
    """The gifts for one node."""

    def __init__(self, node: Node, gifting: "Gifting") -> None:
        self._node = node
        self._gifting = gifting
        self.queue: deque[_Waiting] = deque()
        self.work = asyncio.Event()

    async def run(self) -> None:
        """Send batch after batch until cancelled; then everything that waits is answered.

        A gift that was never sent is answered as unknown too: it may be the repeat of one that was accepted.
        """
        link = self._node.link()
        batch: list[_Waiting] = []
        try:
            while True:
                if not self.queue:
                    self.work.clear()
                    await self.work.wait()
                batch = [self.queue.popleft() for _ in range(min(len(self.queue), GIFT_BATCH_MAX))]
                try:
                    if not link.is_open:
                        link = await self._node.link().open()
                    await self._exchange(link, batch)
                except StoreUnavailableError as error:
                    log.warning("gifting.batch_failed", node=self._node.name, gifts=len(batch), error=str(error))
                    self._answer(batch, Unknown(str(error)))
                    await self._gifting.layout_may_have_changed()
                batch = []
        finally:
            self._answer([*batch, *self.queue], Unknown("this process is stopping"))
            self.queue.clear()
            await link.close()

    async def _exchange(self, link: Link, batch: list[_Waiting]) -> None:
        calls: list[list[_Waiting]] = []
        open_call: dict[str, list[_Waiting]] = {}
        for waiting in batch:
            call = open_call.get(waiting.root)
            if call is None or len(call) >= GIFTS_PER_CALL_MAX:
                call = open_call[waiting.root] = []
                calls.append(call)
            call.append(waiting)
        metrics.GIFT_BATCH.observe(len(batch))
        replies = await link.exchange([self._gifting.command(call) for call in calls], GIFT_DEADLINE_S)
        now = time.perf_counter()
        for call, reply in zip(calls, replies, strict=True):
            for waiting, outcome in zip(call, batch_outcomes(reply, len(call)), strict=True):
                metrics.GIFT_SECONDS.observe(now - waiting.since)
                waiting.reply(outcome)
        if moved(replies):
            await self._gifting.layout_may_have_changed()

    @staticmethod
    def _answer(batch: list[_Waiting], outcome: Outcome) -> None:
        for waiting in batch:
            waiting.reply(outcome)


class Gifting:
    """Takes gifts one by one, debits them in batches."""

    def __init__(self, store: Store, partitions: int, combo_timeout_ms: int, ref_ttl_s: int) -> None:
        """All as the settings say."""
        self._store = store
        self._roots = partition_roots(partitions)
        self._combo_timeout_ms = combo_timeout_ms
        self._ref_ttl_s = ref_ttl_s
        self._lanes: dict[str, _Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def submit(self, gift: GiftSend, display: Display, reply: Reply) -> None:
        """Debit `gift`; `reply` is called exactly once, with the outcome."""
        root = self._roots[partition_of(gift.user, len(self._roots))]
        node = self._store.node_of(root)
        lane = self._lanes.get(node.name)
        if lane is None:
            lane = self._lanes[node.name] = _Lane(node, self)
            self._tasks.append(asyncio.create_task(lane.run(), name=f"gifting {node.name}"))
        if len(lane.queue) >= GIFT_QUEUE_MAX:
            reply(Unknown(f"{GIFT_QUEUE_MAX} gifts are waiting"))
            return
        lane.queue.append(_Waiting(gift, display, root, reply, time.perf_counter()))
        lane.work.set()

    def command(self, call: list[_Waiting]) -> tuple[str | bytes | int, ...]:
        """The function call for gifts of one partition."""
        gifts = ((waiting.gift, waiting.display) for waiting in call)
        now_ms = int(time.time() * 1000)
        return gift_send(call[0].root, gifts, now_ms, self._combo_timeout_ms, self._ref_ttl_s)

    async def layout_may_have_changed(self) -> None:
        """Look at the cluster's layout again (at most once a second)."""
        try:
            await self._store.refresh()
        except StoreUnavailableError as error:
            log.warning("gifting.layout_unknown", error=str(error))

    async def aclose(self) -> None:
        """Stop; what waits is answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
