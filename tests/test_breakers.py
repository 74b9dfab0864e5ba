"""Redis slow or away: every gift is answered soon, nothing piles up, and it mends by itself."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from livegift.composition import make_settings
from livegift.contract.errors import StoreUnavailableError
from livegift.dev.embedded import RedisServer, start_redis_cluster
from livegift.domain.spending import Accepted, GiftSend
from livegift.hub import debit_batcher as debit_batcher_module
from livegift.hub.debit_batcher import DebitBatcher
from livegift.runtime.bounds import GIFT_BATCH_MAX, PROBE_PAUSE_MAX_S, PROBE_PAUSE_MIN_S
from livegift.runtime.settings import Settings
from livegift.store.breaker import Breaker
from livegift.store.client import Store
from livegift.store.wallets import Balance, Display, Outcome, Unknown, Wallets
from tests.conftest import COMMON, migrated
from tests.inprocess import InProcess
from tests.proxy import Proxy
from tests.waiting import wait_until

COINS = 10_000
PRICE = 1
USERS = [f"user-{i}" for i in range(40)]
DISPLAY = Display('["Ann","Bob","Rose",1,1,1,"R"]')


def test_pauses_between_probes_grow_up_to_a_limit_and_differ_by_chance() -> None:
    breaker = Breaker(jitter=lambda: 0.0)
    pauses = [breaker.next_pause_s() for _ in range(100)]
    assert pauses[:3] == [PROBE_PAUSE_MIN_S, PROBE_PAUSE_MIN_S * 2, PROBE_PAUSE_MIN_S * 4]
    assert pauses[-1] == PROBE_PAUSE_MAX_S
    assert Breaker(jitter=lambda: 1.0).next_pause_s() == PROBE_PAUSE_MIN_S / 2


def test_only_real_work_makes_the_pauses_short_again() -> None:
    breaker = Breaker(jitter=lambda: 0.0)
    assert breaker.open("first")
    assert not breaker.open("second")
    assert breaker.reason == "first"
    before = breaker.next_pause_s()
    breaker.close()
    assert not breaker.is_open
    breaker.open("again")
    assert breaker.next_pause_s() > before
    breaker.worked()
    assert breaker.next_pause_s() == before


# --- Gifts and Redis --------------------------------------------------------------------------------------------------


class Sender:
    """Sends gifts through one `DebitBatcher` and keeps every answer by ref."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.debit_batcher = DebitBatcher(store, settings.partitions, settings.combo_timeout_ms, settings.ref_ttl_s)
        self.wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
        self.outcomes: dict[str, list[Outcome]] = defaultdict(list)

    def send(self, user: str, ref: str) -> None:
        gift = GiftSend(user, ref, "ab", "room", "creator", "rose", PRICE, 1, 1, streakable=True)
        self.debit_batcher.submit(gift, DISPLAY, self.outcomes[ref].append)

    def send_many(self, count: int, name: str) -> list[str]:
        """`count` gifts of all users in turn, at once."""
        refs = [f"{name}.{i}" for i in range(count)]
        for i, ref in enumerate(refs):
            self.send(USERS[i % len(USERS)], ref)
        return refs

    async def answered(self, refs: list[str]) -> list[Outcome]:
        """The last answer to each."""
        await wait_until(lambda: all(self.outcomes[ref] for ref in refs), f"all of {len(refs)} gifts are answered")
        return [self.outcomes[ref][-1] for ref in refs]

    async def insist(self, user: str, ref: str) -> Accepted:
        """Send again until it is accepted, as a client does."""

        async def accepted() -> Accepted | None:
            self.outcomes.pop(ref, None)
            self.send(user, ref)
            (outcome,) = await self.answered([ref])
            assert isinstance(outcome, Accepted | Unknown), outcome
            return outcome if isinstance(outcome, Accepted) else None

        found = await wait_until(accepted, f"{ref} is accepted")
        assert isinstance(found, Accepted)
        return found

    async def insist_on_all(self, refs: list[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for i, ref in enumerate(refs):
                group.create_task(self.insist(USERS[i % len(USERS)], ref))

    async def charged(self) -> int:
        balances: list[Balance] = await asyncio.gather(*(self.wallets.read(user) for user in USERS))
        return sum(COINS - wallet.balance for wallet in balances)

    @property
    def is_open(self) -> bool:
        return any(node.breaker.is_open for node in self.store.nodes)


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Sender]:
    store = await Store.connect(settings.redis_url)
    sender = Sender(store, settings)
    try:
        yield sender
    finally:
        await sender.debit_batcher.aclose()
        await store.aclose()


async def make_spendable(settings: Settings) -> None:
    """Leaves armed partitions and coins behind, and nobody who works in the background."""
    async with InProcess(settings) as system:
        await asyncio.gather(*(system.grant(user, COINS) for user in USERS))


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis_server.port) as running:
        yield running


@pytest.fixture
async def sender(settings: Settings, proxy: Proxy) -> AsyncIterator[Sender]:
    """Through the proxy, with one gift accepted: the batcher is connected."""
    await make_spendable(settings)
    async with sending(msgspec.structs.replace(settings, redis_url=proxy.url(settings.redis_url))) as made:
        await made.insist(USERS[0], "first")
        yield made


@contextmanager
def shed_counts() -> Iterator[Callable[[str], int]]:
    """How many gifts were shed for a reason since."""

    def count(reason: str) -> int:
        return int(REGISTRY.get_sample_value("livegift_gifts_shed_total", {"reason": reason}) or 0)

    before = {reason: count(reason) for reason in ("away", "full", "old", "moved", "stopping")}
    yield lambda reason: count(reason) - before[reason]


def gauge(sender: Sender) -> float | None:
    (node,) = sender.store.nodes
    return REGISTRY.get_sample_value("livegift_gift_breaker_open", {"node": node.name})


async def test_a_lost_reply_is_unknown_and_the_same_ref_is_charged_once(sender: Sender, proxy: Proxy) -> None:
    for reply_bytes in (0, 3):
        ref = f"lost-{reply_bytes}"
        proxy.cut_reply(after=b"gift_send", bytes_max=reply_bytes)
        sender.send(USERS[1], ref)
        (outcome,) = await sender.answered([ref])
        assert isinstance(outcome, Unknown)
        assert (await sender.insist(USERS[1], ref)).duplicate
    assert proxy.replies_cut == 2
    assert await sender.charged() == PRICE * 3


async def test_a_stalled_redis_piles_nothing_up_and_mends_by_itself(sender: Sender, proxy: Proxy) -> None:
    with capture_logs() as logs, shed_counts() as shed:
        proxy.stall()
        refs = sender.send_many(1_000, "stalled")
        await wait_until(lambda: sender.is_open, "the breaker opens")
        # Only the batch that was on its way when it stalled may still wait.
        assert sender.debit_batcher.waiting <= GIFT_BATCH_MAX
        assert {type(outcome) for outcome in await sender.answered(refs)} == {Unknown}
        assert gauge(sender) == 1

        for _ in range(20):
            more = sender.send_many(1_000, "while open")
            assert all(sender.outcomes[ref] for ref in more), "each is answered at once"
            assert sender.debit_batcher.waiting == 0
        with pytest.raises(StoreUnavailableError):
            await sender.wallets.read(USERS[0])  # nobody else waits for it either
        assert shed("away") >= 20_000

        proxy.resume()
        await wait_until(lambda: not sender.is_open, "the breaker closes by itself")
        assert gauge(sender) == 0
    assert [entry["event"] for entry in logs] == ["debits.breaker_opened", "debits.breaker_closed"]
    assert max(len(outcomes) for ref, outcomes in sender.outcomes.items() if ref in set(refs)) == 1
    # Redis may have got the batch that nobody had an answer to: each is charged once all the same.
    await sender.insist_on_all(refs)
    assert await sender.charged() == PRICE * (1 + len(refs))


async def test_a_redis_that_refuses_connections_is_answered_for(sender: Sender, proxy: Proxy) -> None:
    proxy.refuse()
    refs = sender.send_many(300, "refused")
    assert {type(outcome) for outcome in await sender.answered(refs)} == {Unknown}
    await wait_until(lambda: sender.is_open, "the breaker is open")
    assert sender.debit_batcher.waiting == 0
    await proxy.accept()
    await wait_until(lambda: not sender.is_open, "the breaker closes by itself")
    await sender.insist_on_all(refs)
    assert await sender.charged() == PRICE * (1 + len(refs))


async def test_a_slow_redis_gets_no_more_than_it_can_do(
    sender: Sender, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than GIFT_SLOW_S, but within the deadline: what was sent is answered truly, what waits is shed."""
    monkeypatch.setattr(debit_batcher_module, "GIFT_DEADLINE_S", 30.0)
    proxy.delay(0.7)  # there and back
    sender.send(USERS[0], "slow")
    await wait_until(lambda: not any(one.queue for one in sender.debit_batcher._batchers.values()), "it is on its way")
    behind = sender.send_many(100, "behind")
    await wait_until(lambda: sender.is_open, "the breaker opens")
    assert all(isinstance(sender.outcomes[ref][0], Unknown) for ref in behind)
    assert isinstance((await sender.answered(["slow"]))[0], Accepted)
    sender.send(USERS[0], "while slow")
    assert sender.outcomes["while slow"], "at once"
    proxy.delay(0)
    await wait_until(lambda: not sender.is_open, "the breaker closes by itself")
    assert not (await sender.insist(USERS[0], "while slow")).duplicate


async def test_who_has_waited_too_long_is_not_sent(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debit_batcher_module, "GIFT_WAIT_MAX_S", 0.0)
    with shed_counts() as shed:
        refs = sender.send_many(10, "old")
        assert {type(outcome) for outcome in await sender.answered(refs)} == {Unknown}
        assert shed("old") == 10
    assert not sender.is_open
    monkeypatch.undo()
    assert not (await sender.insist(USERS[0], refs[0])).duplicate


async def test_the_queue_has_an_end(sender: Sender, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debit_batcher_module, "GIFT_QUEUE_MAX", 10)
    proxy.stall()
    with shed_counts() as shed:
        refs = sender.send_many(30, "full")
        assert shed("full") == 20
        assert sender.debit_batcher.waiting == 10
        assert {type(outcome) for outcome in await sender.answered(refs)} == {Unknown}


async def test_stopping_answers_all_that_wait_and_all_that_come(sender: Sender, proxy: Proxy) -> None:
    proxy.stall()
    refs = sender.send_many(1_000, "waiting")
    await sender.debit_batcher.aclose()
    refs += sender.send_many(10, "late")
    assert all(isinstance(sender.outcomes[ref][0], Unknown) for ref in refs)
    assert {len(sender.outcomes[ref]) for ref in refs} == {1}
    assert sender.debit_batcher.waiting == 0


async def test_one_broken_reply_costs_nobody_an_answer(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> list[Outcome]:
        raise ValueError("expected ok, dup, no or error, got b'?'")

    def fails(_: Outcome) -> None:
        raise RuntimeError("a mistake of the receiver")

    sender.outcomes["fails"] = []
    gift = GiftSend(USERS[0], "fails", "ab", "room", "creator", "rose", PRICE, 1, 1, streakable=True)
    sender.debit_batcher.submit(gift, DISPLAY, fails)
    sender.send(USERS[0], "beside")
    assert isinstance((await sender.answered(["beside"]))[0], Accepted)

    monkeypatch.setattr(debit_batcher_module, "batch_outcomes", unreadable)
    refs = sender.send_many(20, "unreadable")
    assert {type(outcome) for outcome in await sender.answered(refs)} == {Unknown}
    monkeypatch.undo()
    assert (await sender.insist(USERS[0], refs[0])).duplicate


# --- Clusters ---------------------------------------------------------------------------------------------------------


@contextmanager
def cluster(folder: Path, replicas: int = 0) -> Iterator[list[RedisServer]]:
    """A cluster that loses a node and goes on with the others, as in production."""
    nodes = start_redis_cluster(folder, replicas=replicas, extra={"cluster-require-full-coverage": "no"})
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()  # wakes a paused one too


@pytest.fixture
def cluster_nodes(tmp_path: Path) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path / "cluster") as nodes:
        yield nodes


@pytest.fixture
def cluster_settings(cluster_nodes: list[RedisServer], database_url: str) -> Settings:
    return migrated(make_settings(redis_url=cluster_nodes[0].url, database_url=database_url, **COMMON))  # type: ignore[arg-type]


async def test_a_stopped_node_stalls_no_wallet_elsewhere(
    cluster_settings: Settings, cluster_nodes: list[RedisServer]
) -> None:
    await make_spendable(cluster_settings)
    async with sending(cluster_settings) as sender:
        victim = next(server for server in cluster_nodes if server.port != cluster_nodes[0].port)
        there = [u for u in USERS if sender.store.node_of(sender.wallets.root_of(u)).name.endswith(f":{victim.port}")]
        elsewhere = [user for user in USERS if user not in there]
        assert there
        assert elsewhere
        await asyncio.gather(*(sender.insist(user, f"before-{user}") for user in USERS))
        os.kill(victim.pid, signal.SIGSTOP)
        for user in there:
            sender.send(user, f"stopped-{user}")
        for number in range(20):
            await asyncio.gather(*(sender.insist(user, f"{number}-{user}") for user in elsewhere))
        unknown = await sender.answered([f"stopped-{user}" for user in there])
        assert {type(outcome) for outcome in unknown} == {Unknown}
        away = [node.name for node in sender.store.nodes if node.breaker.is_open]
        assert [name.endswith(f":{victim.port}") for name in away] == [True]
        os.kill(victim.pid, signal.SIGCONT)
        await asyncio.gather(*(sender.insist(user, f"stopped-{user}") for user in there))
        assert not sender.is_open


@pytest.mark.slow
async def test_the_lane_of_a_primary_that_was_replaced_ends(tmp_path: Path, database_url: str) -> None:
    with cluster(tmp_path / "cluster", replicas=1) as nodes:
        made = make_settings(redis_url=nodes[0].url, database_url=database_url, **COMMON)  # type: ignore[arg-type]
        settings = await asyncio.to_thread(migrated, made)
        await make_spendable(settings)
        async with sending(settings) as sender:
            before = {node.name for node in sender.store.nodes}
            user = next(
                user
                for user in USERS
                if not sender.store.node_of(sender.wallets.root_of(user)).name.endswith(f":{nodes[0].port}")
            )
            await sender.insist(user, "before")
            old = sender.store.node_of(sender.wallets.root_of(user))
            next(server for server in nodes if old.name.endswith(f":{server.port}")).kill()

            def has_moved() -> bool:
                sender.send(user, "again")
                return sender.store.node_of(sender.wallets.root_of(user)) is not old

            await wait_until(has_moved, "a replica has taken its place", 60)
            await wait_until(
                lambda: old.name not in sender.debit_batcher._batchers, "the batcher of the old primary ends"
            )
            assert not old.breaker.is_open
            assert len({node.name for node in sender.store.nodes} - before) == 1
