"""The micro-batcher of debits: gifts that arrive while a batch is in flight are the next batch.

Each Redis node has its own batcher: one connection, one exchange at a time, one deadline. A node that is dead or slow
does not stall users whose wallets are elsewhere, and nothing is ever repeated behind the sender's back.

A node that fails or is too slow gets nothing more (its breaker opens): waiting and new gifts are answered at once, as
unknown, because nobody has checked whether their refs were accepted before. Probes find out when it is back.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, GiftSend, Refused
from livegift.runtime import metrics
from livegift.runtime.bounds import (
    GIFT_BATCH_MAX,
    GIFT_DEADLINE_S,
    GIFT_QUEUE_MAX,
    GIFT_SLOW_S,
    GIFT_WAIT_MAX_S,
    GIFTS_PER_CALL_MAX,
    PROBE_TIMEOUT_S,
)
from livegift.store.client import Node, Store, moved, refused
from livegift.store.keys import partition_roots
from livegift.store.wallets import Display, Outcome, Unknown, batch_outcomes, gift_send

log = structlog.get_logger()

Reply = Callable[[Outcome], None]


class _Refusal:
    """A reason to answer gifts without sending them: as unknown, never as rejected (decision 006)."""

    def __init__(self, reason: str, message: str) -> None:
        self._outcome = Unknown(message)
        self._count = metrics.GIFTS_SHED.labels(reason)

    def answer(self, reply: Reply) -> None:
        """Answer one gift."""
        self._count.inc()
        metrics.GIFTS_BY_OUTCOME["unknown"].inc()
        _reply(reply, self._outcome)


AWAY = _Refusal("away", "the node of this wallet does not answer")
FULL = _Refusal("full", f"{GIFT_QUEUE_MAX} gifts are waiting")
OLD = _Refusal("old", f"it has waited for {GIFT_WAIT_MAX_S:g} s")
MOVED = _Refusal("moved", "the wallet has moved to another node")
STOPPING = _Refusal("stopping", "this process is stopping")
SLOW = f"no reply within {GIFT_SLOW_S:g} s"


def _count(outcomes: Iterable[Outcome]) -> None:
    for kind, count in Counter(map(_kind, outcomes)).items():
        metrics.GIFTS_BY_OUTCOME[kind].inc(count)


def _kind(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "duplicate" if outcome.duplicate else "accepted"
    return "rejected" if isinstance(outcome, Refused) else "unknown"


def _reply(reply: Reply, outcome: Outcome) -> None:
    try:
        reply(outcome)
    except Exception:
        # An error with one gift must not cost the others of its batch their answers.
        log.exception("debits.reply_failed")


@dataclass(slots=True)
class _Waiting:
    gift: GiftSend
    display: Display
    root: str
    reply: Reply
    since: float


class _NodeBatcher:
    """The gifts for one node."""

    def __init__(self, node: Node, owner: "DebitBatcher") -> None:
        self._node = node
        self._owner = owner
        self._link = node.link()
        self._sent: list[_Waiting] = []
        self._shed_count = 0
        self.queue: deque[_Waiting] = deque()
        self.work = asyncio.Event()
        self.refusal: _Refusal | None = None  # if set, gifts get it at once instead of being queued
        metrics.GIFT_BREAKER_OPEN.labels(node.name).set(0)

    @property
    def waiting(self) -> int:
        """Return how many gifts have no answer yet."""
        return len(self.queue) + len(self._sent)

    async def run(self) -> None:
        """Send batch after batch until cancelled, or until the node is no longer a primary."""
        try:
            while self._owner.is_primary(self._node):
                if self._node.breaker.is_open:
                    await self._probe()
                elif self.queue:
                    await self._send_batch()
                else:
                    self.work.clear()
                    await self.work.wait()
        finally:
            self._end()
            await self._link.close()

    def _end(self) -> None:
        """Answer everything; accept nothing more."""
        self._close_breaker()
        self.refusal = self._owner.forget(self._node)
        self._settle([Unknown("this process is stopping")] * len(self._sent))
        self._shed_queue(self.refusal)

    # --- Sending ------------------------------------------------------------------------------------------------------

    async def _send_batch(self) -> None:
        self._shed_old()
        batch = self._sent = [self.queue.popleft() for _ in range(min(len(self.queue), GIFT_BATCH_MAX))]
        if not batch:
            return
        slow = asyncio.get_running_loop().call_later(GIFT_SLOW_S, self._open_breaker, SLOW)
        try:
            replies, outcomes = await self._exchange(batch)
        except Exception as error:
            # Any exception: a batcher that died of it would leave its gifts without an answer.
            if not isinstance(error, StoreUnavailableError):
                log.exception("debits.batch_broken", node=self._node.name)
            self._open_breaker(str(error))
            self._settle([Unknown(str(error))] * len(batch))
            return
        finally:
            slow.cancel()
        self._settle(outcomes)
        if not self._node.breaker.is_open:
            self._node.breaker.worked()
        if moved(replies):
            await self._owner.layout_may_have_changed()

    async def _exchange(self, batch: list[_Waiting]) -> tuple[list[object], list[Outcome]]:
        """Make one round trip; returns the replies, and the outcome of each gift. Orders `batch` as it was sent."""
        calls: list[list[_Waiting]] = []
        open_call: dict[str, list[_Waiting]] = {}
        for waiting in batch:
            call = open_call.get(waiting.root)
            if call is None or len(call) >= GIFTS_PER_CALL_MAX:
                call = open_call[waiting.root] = []
                calls.append(call)
            call.append(waiting)
        metrics.GIFT_BATCH.observe(len(batch))
        batch[:] = [waiting for call in calls for waiting in call]
        if not await self._link.is_ready():
            self._link = await self._node.link().open()
        replies = await self._link.exchange([self._owner.command(call) for call in calls], GIFT_DEADLINE_S)
        outcomes: list[Outcome] = []
        for call, reply in zip(calls, replies, strict=True):
            outcomes += batch_outcomes(reply, len(call))
        return replies, outcomes

    def _settle(self, outcomes: list[Outcome] | list[Unknown]) -> None:
        batch, self._sent = self._sent, []
        if batch:
            # Once per batch: observing and counting each gift would cost a tenth of what a gift costs in all.
            metrics.GIFT_SECONDS.observe(time.perf_counter() - min(waiting.since for waiting in batch))
            _count(outcomes)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            _reply(waiting.reply, outcome)

    # --- Shedding -----------------------------------------------------------------------------------------------------

    def shed(self, reply: Reply, refusal: _Refusal) -> None:
        """Answer a gift that is not sent."""
        self._shed_count += 1
        refusal.answer(reply)

    def _shed_old(self) -> None:
        oldest = time.perf_counter() - GIFT_WAIT_MAX_S
        while self.queue and self.queue[0].since < oldest:
            self.shed(self.queue.popleft().reply, OLD)

    def _shed_queue(self, refusal: _Refusal) -> None:
        while self.queue:
            self.shed(self.queue.popleft().reply, refusal)

    # --- The breaker --------------------------------------------------------------------------------------------------

    def _open_breaker(self, reason: str) -> None:
        """Send nothing more for now. Gifts in flight may still be answered."""
        if self._node.breaker.open(reason):
            log.warning("debits.breaker_opened", node=self._node.name, reason=reason, waiting=len(self.queue))
            metrics.GIFT_BREAKER_OPEN.labels(self._node.name).set(1)
            self._shed_count = 0
            self.refusal = AWAY
            self._shed_queue(AWAY)

    def _close_breaker(self) -> None:
        if self._node.breaker.is_open:
            open_s = self._node.breaker.close()
            log.info("debits.breaker_closed", node=self._node.name, open_s=round(open_s, 3), shed=self._shed_count)
            metrics.GIFT_BREAKER_OPEN.labels(self._node.name).set(0)
            self.refusal = None

    async def _probe(self) -> None:
        """Probe the node after a pause. If it does not answer fast enough, check whether another has replaced it."""
        await asyncio.sleep(self._node.breaker.next_pause_s())
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if not await self._link.is_ready():
                    self._link = await self._node.link().open()
                (reply,) = await self._link.exchange([("PING",)], PROBE_TIMEOUT_S)
        except (StoreUnavailableError, TimeoutError):
            await self._owner.layout_may_have_changed()
            return
        if refused(reply) is None:  # refused while a function runs too long, or when nothing can be saved
            self._close_breaker()


class DebitBatcher:
    """Takes gifts one by one and debits them in batches."""

    def __init__(self, store: Store, partitions: int, combo_timeout_ms: int, ref_ttl_s: int) -> None:
        """Debit in `store`, with the system's settings."""
        self._store = store
        self._roots = partition_roots(partitions)
        self._combo_timeout_ms = combo_timeout_ms
        self._ref_ttl_s = ref_ttl_s
        self._batchers: dict[str, _NodeBatcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def waiting(self) -> int:
        """Return how many gifts have no answer yet."""
        return sum(batcher.waiting for batcher in self._batchers.values())

    def submit(self, gift: GiftSend, display: Display, reply: Reply) -> None:
        """Debit `gift`. `reply` is called exactly once, with the outcome."""
        root = self._roots[partition_of(gift.user, len(self._roots))]
        node = self._store.node_of(root)
        batcher = self._batchers.get(node.name) or self._new_batcher(node)
        if batcher.refusal is not None:
            batcher.shed(reply, batcher.refusal)
        elif len(batcher.queue) >= GIFT_QUEUE_MAX:
            batcher.shed(reply, FULL)
        else:
            batcher.queue.append(_Waiting(gift, display, root, reply, time.perf_counter()))
            batcher.work.set()

    def _new_batcher(self, node: Node) -> _NodeBatcher:
        batcher = self._batchers[node.name] = _NodeBatcher(node, self)
        if self._is_stopping:
            batcher.refusal = STOPPING
            return batcher
        task = asyncio.create_task(batcher.run(), name=f"debits {node.name}")
        self._tasks.add(task)
        task.add_done_callback(self._batcher_ended)
        return batcher

    def _batcher_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("debits.batcher_died", task=task.get_name(), exc_info=task.exception())

    # --- What a node's batcher asks -----------------------------------------------------------------------------------

    def is_primary(self, node: Node) -> bool:
        """Return whether `node` owns any wallets."""
        return self._store.is_primary(node)

    def forget(self, node: Node) -> _Refusal:
        """Remove the batcher of `node`, which has ended; returns why. The next gift for the node gets a new one."""
        if self._is_stopping:
            return STOPPING
        del self._batchers[node.name]
        return MOVED

    def command(self, call: list[_Waiting]) -> tuple[str | bytes | int, ...]:
        """Return the function call for gifts of one partition."""
        gifts = ((waiting.gift, waiting.display) for waiting in call)
        now_ms = int(time.time() * 1000)
        return gift_send(call[0].root, gifts, now_ms, self._combo_timeout_ms, self._ref_ttl_s)

    async def layout_may_have_changed(self) -> None:
        """Refresh the cluster's layout (at most once a second)."""
        try:
            await self._store.refresh()
        except StoreUnavailableError as error:
            log.warning("debits.layout_unknown", error=str(error))

    async def aclose(self) -> None:
        """Stop. Waiting gifts are answered."""
        self._is_stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
