"""The whole system over real sockets, with several of each process."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.crowds import StubbornSender, Tally, Watcher, send_many
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

VIEWERS, ROOMS, GIFTS_EACH = 100, 5, 100
COINS = 1_000_000


async def check_ledger(system: System, tally: Tally) -> None:
    """The audit holds, and each creator has the diamonds of the gifts that were accepted."""
    report = await system.audit()
    assert report.passed, report.to_text()
    for room, coins in tally.room_coins.items():
        creator = f"creator-{room}"
        _, body = system.http("GET", "/v1/creator/balance", token=system.token(creator, "creator"))
        assert body["diamonds_total"] == coins
        _, body = system.http("GET", f"/v1/rooms/{room}")
        assert body["totals"]["gifts"] == len(tally.accepted[room])
        assert body["totals"]["coins"] == coins


async def ten_thousand_gifts(system: System) -> None:
    system.start(web=2, relay=2, aggregator=2)
    rooms = [f"room-{i}" for i in range(ROOMS)]
    for room in rooms:
        system.open_room(room, f"creator-{room}")
    users = {f"viewer-{i}": rooms[i % ROOMS] for i in range(VIEWERS)}
    await system.grant(dict.fromkeys(users, COINS))
    tally = Tally()
    async with AsyncExitStack() as stack:
        watchers: dict[str, Watcher] = {}
        seconds: dict[str, Viewer] = {}
        for i, user in enumerate(users):
            first, second = (f"web {i % 2 + 1}", f"web {(i + 1) % 2 + 1}")
            token = system.token(user)
            watchers[user] = await stack.enter_async_context(Watcher(system.address(first), token))
            seconds[user] = await stack.enter_async_context(Viewer(system.address(second), token))
        await asyncio.gather(*(watchers[user].join(room) for user, room in users.items()))
        await asyncio.gather(
            *(send_many(watchers[u], seconds[u], u, room, GIFTS_EACH, tally) for u, room in users.items())
        )
        assert tally.wrong == []
        assert sum(map(len, tally.accepted.values())) == VIEWERS * GIFTS_EACH
        assert tally.duplicates == VIEWERS * len(range(0, GIFTS_EACH, 3))

        for user, room in users.items():
            watcher, expected = watchers[user], set(tally.accepted[room].values())
            await wait_until(
                lambda watcher=watcher, expected=expected: len(watcher.gift_ids) >= len(expected),
                f"{user} sees all {len(expected)} gifts",
                30,
            )
            assert set(watcher.gift_ids) == expected
            assert set(watcher.gift_ids.values()) == {1}, "each gift is seen once"
            assert watcher.problems == []
            assert not watcher.streak_ends or set(watcher.streak_ends.values()) == {1}
    await check_ledger(system, tally)


@pytest.mark.slow
async def test_each_of_ten_thousand_gifts_is_debited_seen_and_credited_once(system: System) -> None:
    await ten_thousand_gifts(system)


@pytest.mark.slow
async def test_the_same_on_a_redis_cluster_of_three_primaries(cluster_system: System) -> None:
    await ten_thousand_gifts(cluster_system)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["relay 1", "aggregator 1", "web 1"])
async def test_nothing_is_lost_or_doubled_when_a_process_is_killed(system: System, victim: str) -> None:
    system.start(web=2, relay=2, aggregator=2)
    rooms = ["room-0", "room-1"]
    for room in rooms:
        system.open_room(room, f"creator-{room}")
    users = {f"viewer-{i}": rooms[i % 2] for i in range(20)}
    await system.grant(dict.fromkeys(users, COINS))
    tally = Tally()
    senders = {user: StubbornSender(system, user, ["web 1", "web 2"]) for user in users}
    killed = asyncio.Event()

    async def send(user: str, room: str) -> None:
        number = 0
        # Until a good while after the kill, so that gifts fall before, into and behind it.
        while not killed.is_set() or number % 100:
            tally.note(user, room, await senders[user].gift(room, "rose", f"{user}.{number}"))
            number += 1

    async with Watcher(system.address("web 2"), system.token("watcher")) as watcher, asyncio.TaskGroup() as group:
        await watcher.join("room-0")
        for user, room in users.items():
            group.create_task(send(user, room))
        for _ in range(3):
            before = sum(map(len, tally.accepted.values()))
            await wait_until(
                lambda before=before: sum(map(len, tally.accepted.values())) > before + 200, "gifts are flowing", 30
            )
            system.kill(victim)
            system.start_one(victim)
        killed.set()
    assert tally.wrong == []
    for sender in senders.values():
        await sender.aclose()
    system.wait_ready("web 1")
    await check_ledger(system, tally)
    assert set(watcher.gift_ids.values()) == {1}
    assert watcher.problems == []
