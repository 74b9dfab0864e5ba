"""Two owners: a process sleeps longer than its leases, another takes over, and the first continues."""

import asyncio
import signal
from contextlib import closing

import pytest
import redis

from livegift.store.keys import partition_roots
from tests.crowds import StubbornSender, Tally, Watcher
from tests.system import System
from tests.waiting import wait_until

USERS = 8


def owners(system: System, role: str) -> set[str]:
    """Return the holders of leases of a role."""
    with closing(redis.Redis.from_url(system.settings.redis_url, decode_responses=True)) as client:
        roots = partition_roots(system.settings.partitions)
        return {str(client.hget(f"{root}:lease:{role}", "owner")) for root in roots}


@pytest.mark.slow
@pytest.mark.parametrize("role", ["relay", "aggregator"])
async def test_a_process_that_wakes_after_its_leases_does_no_harm(system: System, role: str) -> None:
    system.start(web=1, relay=2, aggregator=2)
    system.open_room("room-0", "creator")
    users = [f"viewer-{i}" for i in range(USERS)]
    await system.grant(dict.fromkeys(users, 100_000))
    await wait_until(lambda: len(owners(system, role)) == 2, "both have leases", 30)
    tally, enough = Tally(), asyncio.Event()
    sleeper = system.processes[f"{role} 1"]

    async def send(user: str) -> None:
        sender, number = StubbornSender(system, user, ["web 1"]), 0
        while not enough.is_set():
            tally.note(user, "room-0", await sender.gift("room-0", "rose", f"{user}.{number}"))
            number += 1
        await sender.aclose()

    async with Watcher(system.address(), system.token("watcher")) as watcher, asyncio.TaskGroup() as group:
        await watcher.join("room-0")
        for user in users:
            group.create_task(send(user))
        for _ in range(2):
            sleeper.send_signal(signal.SIGSTOP)
            await wait_until(lambda: len(owners(system, role)) == 1, "the other one has taken over", 60)
            before = len(tally.accepted["room-0"])
            await wait_until(lambda n=before: len(tally.accepted["room-0"]) > n + 200, "gifts are flowing", 30)
            sleeper.send_signal(signal.SIGCONT)
            await wait_until(lambda: len(owners(system, role)) == 2, "both have leases again", 60)
        enough.set()
    assert tally.wrong == []
    report = await system.audit()
    assert report.passed, report.to_text()
    expected = set(tally.accepted["room-0"].values())
    assert set(watcher.gift_ids) <= expected
    assert set(watcher.gift_ids.values()) == {1}
    assert watcher.problems == []
