"""Leases: every partition has one owner soon, and none has two."""

import pytest

from livegift.store import keys, leases
from livegift.store.client import Store
from livegift.store.functions.leases import lease_release, lease_take, worker_seen
from livegift.store.leases import Leases, fair_share
from tests.waiting import wait_until

ROOTS = dict(enumerate(keys.partition_roots(8)))
ROLE = "relay"
LONG_MS, SHORT_MS = 60_000, 1


def workers(store: Store, count: int) -> list[Leases]:
    return [Leases(store, ROOTS, ROLE, f"worker-{number}") for number in range(count)]


async def settle(those: list[Leases]) -> None:
    """A few rounds: what one gives back the next one takes."""
    for _ in range(3):
        for one in those:
            await one.renew()


def assert_divided(those: list[Leases]) -> None:
    held = sorted(partition for one in those for partition in one.held)
    assert held == sorted(ROOTS)
    assert max(len(one.held) for one in those) <= fair_share(len(ROOTS), len(those))


async def take(store: Store, owner: str, ttl_ms: int = LONG_MS, role: str = ROLE) -> int:
    token: int = await store.call(lease_take(ROOTS[0], role, owner, ttl_ms))
    return token


async def release(store: Store, owner: str) -> int:
    count: int = await store.call(lease_release(ROOTS[0], ROLE, owner))
    return count


async def is_over(store: Store) -> bool:
    """Whether the lease of partition 0 has expired, by Redis' time."""
    seconds, micros = await store.call_plain(ROOTS[0], ("TIME",))
    until = await store.call_plain(ROOTS[0], ("HGET", f"{ROOTS[0]}:lease:{ROLE}", "until_ms"))
    return int(seconds) * 1000 + int(micros) // 1000 >= int(until)


@pytest.mark.parametrize(
    ("partitions", "count", "share"), [(8, 1, 8), (8, 2, 4), (8, 3, 3), (8, 8, 1), (8, 9, 1), (8, 0, 8), (64, 5, 13)]
)
def test_a_fair_share_is_enough_for_all(partitions: int, count: int, share: int) -> None:
    assert fair_share(partitions, count) == share
    assert share * max(count, 1) >= partitions


# --- Workers ----------------------------------------------------------------------------------------------------------


async def test_one_worker_holds_everything(store: Store) -> None:
    (one,) = workers(store, 1)
    assert await one.renew() == (set(ROOTS), set())
    assert await one.renew() == (set(), set())
    assert_divided([one])


async def test_two_workers_share(store: Store) -> None:
    one, other = both = workers(store, 2)
    await one.renew()
    assert await other.renew() == (set(), set()), "the first still holds all"
    won, lost = await one.renew()
    assert (won, len(lost)) == (set(), 4)
    assert await other.renew() == (lost, set())
    assert_divided(both)


@pytest.mark.parametrize("count", [3, 5, 8, 9])
async def test_many_workers_share(store: Store, count: int) -> None:
    those = workers(store, count)
    await settle(those)
    assert_divided(those)
    await settle(those)
    assert_divided(those)


async def test_once_it_is_settled_nothing_moves(store: Store) -> None:
    those = workers(store, 3)
    await settle(those)
    before = [dict(one.held) for one in those]
    assert [await one.renew() for one in those] == [(set(), set())] * 3
    assert [one.held for one in those] == before


async def test_who_leaves_hands_over_at_once(store: Store) -> None:
    one, other = workers(store, 2)
    await settle([one, other])
    await one.release_all()
    assert one.held == {}
    won, lost = await other.renew()
    assert (len(won), lost) == (4, set())
    assert_divided([other])


async def test_who_dies_loses_its_leases_when_they_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, heir = workers(store, 2)
    await settle([dead, heir])
    monkeypatch.setattr(leases, "LEASE_TTL_MS", SHORT_MS)
    monkeypatch.setattr(leases, "WORKER_TTL_MS", SHORT_MS)
    await dead.renew()
    monkeypatch.undo()

    async def inherits() -> bool:
        await heir.renew()
        return set(heir.held) == set(ROOTS)

    await wait_until(inherits, "the other worker has all partitions")
    won, lost = await dead.renew()
    assert won == set()
    assert len(lost) == 4, "it learns that they are somebody else's now"
    assert dead.held == {}


async def test_roles_do_not_get_in_each_others_way(store: Store) -> None:
    relay = Leases(store, ROOTS, "relay", "worker")
    aggregator = Leases(store, ROOTS, "aggregator", "worker")
    for one in (relay, aggregator):
        assert await one.renew() == (set(ROOTS), set())


# --- One lease --------------------------------------------------------------------------------------------------------


async def test_a_lease_has_one_owner(store: Store) -> None:
    assert await take(store, "one") == 1
    assert await take(store, "other") == 0
    assert await take(store, "one") == 1, "renewed, still the same owner"
    assert await take(store, "other") == 0


async def test_the_lease_of_another_is_not_released(store: Store) -> None:
    await take(store, "one")
    assert await release(store, "other") == 0
    assert await take(store, "other") == 0
    assert await release(store, "one") == 1
    assert await release(store, "one") == 0
    assert await take(store, "other") == 2


async def test_the_token_grows_with_each_change_of_owner(store: Store) -> None:
    tokens = []
    for owner in ("one", "other", "one", "other"):
        tokens.append(await take(store, owner))
        await release(store, owner)
    for owner in ("third", "one", "third"):
        tokens.append(await take(store, owner, SHORT_MS))
        await wait_until(lambda: is_over(store), "the lease is over")
    assert tokens == sorted(set(tokens))


async def test_an_expired_lease_goes_to_whoever_comes_first(store: Store) -> None:
    assert await take(store, "one", SHORT_MS) == 1
    await wait_until(lambda: is_over(store), "the lease is over")
    assert await take(store, "one", SHORT_MS) == 1, "nobody else has had it"
    await wait_until(lambda: is_over(store), "the lease is over")
    assert await take(store, "other") == 2
    assert await take(store, "one") == 0
    assert await release(store, "one") == 0, "a late release of the former owner does no harm"
    assert await take(store, "other") == 2


async def test_workers_that_were_not_seen_are_not_counted(store: Store) -> None:
    async def seen(worker: str, ttl_ms: int) -> int:
        return int(await store.call(worker_seen(keys.workers(ROLE), worker, ttl_ms)))

    assert await seen("one", LONG_MS) == 1
    assert await seen("other", LONG_MS) == 2
    assert await seen("one", LONG_MS) == 2
    await seen("brief", SHORT_MS)

    async def two() -> bool:
        return await seen("one", LONG_MS) == 2

    await wait_until(two, "the third is forgotten")
    assert await seen("other", 0) == 1
