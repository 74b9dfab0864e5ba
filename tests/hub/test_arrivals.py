"""Users who say hello at once: subscribed to together, read together, and each told what happens afterwards."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from livegift.contract.encoding import encode
from livegift.contract.errors import StoreUnavailableError
from livegift.contract.messages import Wallet
from livegift.hub.sessions import Sessions
from livegift.hub.subscriber import Subscriber
from livegift.runtime.bounds import HELLOS_AT_ONCE_MAX
from livegift.store.client import Store
from livegift.store.keys import wallet
from livegift.store.wallets import Balance, Wallets
from tests.waiting import wait_until

PARTITIONS = 8


class CountingWallets(Wallets):
    """Notes how many wallets were read together."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, PARTITIONS, 60)
        self.reads: list[int] = []

    async def read_many(self, users: Sequence[str]) -> list[Balance | StoreUnavailableError]:
        self.reads.append(len(users))
        return await super().read_many(users)


class Viewer:
    """A session that keeps what it is told."""

    def __init__(self) -> None:
        self.wallet_seq = -1
        self.told: list[bytes] = []

    def write(self, payload: bytes) -> None:
        self.told.append(payload)


@asynccontextmanager
async def sessions_of(wallets: Wallets, store: Store) -> AsyncIterator[Sessions]:
    subscriber = Subscriber(store, lambda _: None)
    sessions = Sessions(store, subscriber, wallets, 10)
    try:
        yield sessions
    finally:
        await sessions.aclose()
        await subscriber.aclose()


async def channels(store: Store) -> int:
    """How many users' channels are subscribed to."""
    return len(await store.nodes[0].run(("PUBSUB", "SHARDCHANNELS", "*:user:*")))


async def publish(wallets: Wallets, user: str, seq: int) -> None:
    await wallets.publish_to_user(user, encode(Wallet(balance=seq, seq=seq, reason="test")))


async def test_a_thousand_hellos_in_a_turn_are_a_few_exchanges(store: Store) -> None:
    wallets = CountingWallets(store)
    users = [f"viewer-{n}" for n in range(1_000)]
    async with sessions_of(wallets, store) as sessions:
        viewers = {user: Viewer() for user in users}
        await sessions.add("first", Viewer())  # opens the connections
        wallets.reads.clear()
        found = await asyncio.gather(*(sessions.add(user, viewers[user]) for user in users))
        assert found == [Balance()] * len(users)
        assert sum(wallets.reads) == len(users)
        assert len(wallets.reads) <= 2 + len(users) // HELLOS_AT_ONCE_MAX
        assert await channels(store) == len(users) + 1
        for user in users:
            await publish(wallets, user, 1)
        await wait_until(lambda: all(len(viewer.told) == 1 for viewer in viewers.values()), "each is told its own")
        for user in users:
            sessions.remove(user, viewers[user])
        sessions.remove("viewer-1", Viewer())  # which was never there

        async def is_alone() -> bool:
            return await channels(store) == 1

        await wait_until(is_alone, "all channels but the first user's are left")


async def test_what_changes_after_the_hello_is_either_read_or_told(store: Store) -> None:
    wallets = Wallets(store, PARTITIONS, 60)
    async with sessions_of(wallets, store) as sessions:
        for round_ in range(20):
            user, viewer = f"viewer-{round_}", Viewer()
            root = wallets.root_of(user)
            reading = asyncio.ensure_future(sessions.add(user, viewer))
            await asyncio.sleep(0)
            await store.call_plain(root, ("HSET", wallet(root, user), "s", 7))
            await publish(wallets, user, 7)
            seq = (await reading).seq
            await wait_until(lambda seq=seq, viewer=viewer: seq == 7 or bool(viewer.told), "it is not lost")


async def test_a_user_who_comes_and_goes_and_comes_is_subscribed_to(store: Store) -> None:
    wallets = Wallets(store, PARTITIONS, 60)
    async with sessions_of(wallets, store) as sessions:
        for seq in range(1, 30):
            gone, viewer = Viewer(), Viewer()
            leaving = asyncio.ensure_future(sessions.add("ann", gone))
            for _ in range(seq % 4):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert await sessions.add("ann", viewer) == Balance()
            await publish(wallets, "ann", seq)
            await wait_until(lambda viewer=viewer: len(viewer.told) == 1, "the second one is told")
            sessions.remove("ann", viewer)
            assert gone.told == []


async def test_all_are_answered_when_redis_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegift.hub.arrivals.HELLO_ANSWER_S", 0.2)
    wallets = Wallets(store, PARTITIONS, 60)
    async with sessions_of(wallets, store) as sessions:
        await sessions.add("first", Viewer())
        await store.nodes[0].run(("CLIENT", "PAUSE", 1_000, "ALL"))
        viewers = [Viewer() for _ in range(HELLOS_AT_ONCE_MAX + 10)]
        hellos = [sessions.add(f"viewer-{n}", viewer) for n, viewer in enumerate(viewers)]
        answers = await asyncio.gather(*hellos, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailableError}
        monkeypatch.undo()
        assert await sessions.add("viewer-1", Viewer()) == Balance()
