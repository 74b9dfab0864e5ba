"""The relay tells a user's other devices of the balance after gifts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from redis.asyncio.client import PubSub

from livegift.contract.journal import GiftSent
from livegift.contract.messages import Wallet
from livegift.domain.entries import Row
from livegift.domain.partitions import START
from livegift.processes.balances import BalanceTeller
from livegift.runtime.settings import Settings
from livegift.store.client import Store
from livegift.store.keys import user_channel
from livegift.store.outbox import Outbox
from tests.contract.structs import as_struct
from tests.inprocess import InProcess
from tests.store.test_wallet_messages import SENTINEL


class Listeners:
    """Processes that listen to a user's channel."""

    def __init__(self, store: Store, channel: str) -> None:
        self._store, self._channel = store, channel
        self._all: list[PubSub] = []

    async def add(self, stack: AsyncExitStack) -> None:
        pubsub = self._store.nodes[0].commands.pubsub()
        stack.push_async_callback(pubsub.aclose)
        await pubsub.ssubscribe(self._channel)
        assert (await _next(pubsub))["type"] == "ssubscribe"
        self._all.append(pubsub)

    async def heard(self) -> list[list[tuple[int, int]]]:
        """Balance and seq of the messages that each has got up to now."""
        await self._store.call_plain(self._channel, ("SPUBLISH", self._channel, SENTINEL))
        found = []
        for pubsub in self._all:
            there = []
            while (data := (await _next(pubsub))["data"]) != SENTINEL:
                as_struct(data, Wallet)
                message = orjson.loads(data)
                assert message["reason"] == "gift"
                there.append((message["balance"], message["seq"]))
            found.append(there)
        return found


async def _next(pubsub: PubSub) -> dict[str, Any]:
    message = await pubsub.get_message(timeout=10)
    assert message is not None, "nothing came"
    return dict(message)


@pytest.fixture
async def gifts(running: InProcess) -> list[tuple[int, GiftSent]]:
    """Two gifts of alice and one of carol, as the relay reads them, with their partitions."""
    for user, ref in (("alice", "1"), ("alice", "2"), ("carol", "1")):
        await running.gift(user, "r1", "bob", "heart", ref)
    link = await running.outbox.node_of(0).link().open()
    try:
        found = await running.outbox.read(link, dict.fromkeys(running.outbox.roots, START), 100)
    finally:
        await link.close()
    rows: list[tuple[int, Row]] = [(partition, row) for partition, there in found.items() for row in there]
    return [(partition, row.entry) for partition, row in rows if isinstance(row.entry, GiftSent)]


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[InProcess]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user in ("alice", "carol"):
            await system.grant(user, 1000)
        await system.stop("relay")
        yield system


async def test_each_hears_the_newest_balance_once_where_two_listen(
    running: InProcess, gifts: list[tuple[int, GiftSent]]
) -> None:
    teller = BalanceTeller(running.outbox)
    async with AsyncExitStack() as stack:
        listeners = {}
        for user, processes in (("alice", 2), ("carol", 1)):
            root = running.wallets.root_of(user)
            listeners[user] = Listeners(running.store, user_channel(root, user))
            for _ in range(processes):
                await listeners[user].add(stack)
        for partition, gift in gifts:
            teller.note(partition, gift)
        await teller.tell_once()
        assert await listeners["alice"].heard() == [[(990, 3)]] * 2
        assert await listeners["carol"].heard() == [[]], "the one process is the sender's own"
        await teller.tell_once()
        assert await listeners["alice"].heard() == [[]] * 2, "nothing is told twice"
        running.start_relay()
        await running.gift("alice", "r1", "bob", "heart", "3")
        message = await _next(listeners["alice"]._all[0])
        assert orjson.loads(message["data"])["balance"] == 985


async def test_a_redis_that_is_away_stops_nothing(running: InProcess, gifts: list[tuple[int, GiftSent]]) -> None:
    store = await Store.connect(running.settings.redis_url)
    try:
        teller = BalanceTeller(Outbox(store, running.settings.partitions))
        teller.note(*gifts[0])
        store.nodes[0].breaker.open("a test")
        await store.nodes[0].exchange([("QUIT",)])
        await teller.tell_once()
    finally:
        await store.aclose()
