"""The one face of Redis under faults: nothing is repeated, every wait ends, and what is known of a command is told."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from livegift.contract.errors import StoreUnavailableError
from livegift.dev.embedded import RedisServer, start_redis_cluster
from livegift.runtime.bounds import CLUSTER_ASK_TIMEOUT_S, REDIS_POOL_MAX
from livegift.store.client import Node, Store, StoreRefusedError
from livegift.store.keys import SLOTS
from livegift.store.layout import parse_layout
from tests.proxy import Proxy
from tests.waiting import wait_until

SOON_S = 0.2
LATER_S = 30.0

LIBRARY = """#!lua name=faults
redis.register_function('halfway', function(keys) redis.call('SET', keys[1], 'written') error('boom') end)
redis.register_function('refusing', function(keys) return redis.error_reply('ERR not today') end)
"""


@pytest.fixture
async def proxy(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Proxy]:
    assert redis_url == redis_server.url  # emptied
    async with Proxy(redis_server.port) as running:
        yield running


@pytest.fixture
async def store(proxy: Proxy, redis_url: str) -> AsyncIterator[Store]:
    connected = await Store.connect(proxy.url(redis_url))
    yield connected
    await connected.aclose()


@pytest.fixture
def node(store: Store) -> Node:
    return store.nodes[0]


async def error_of(awaitable: object) -> StoreUnavailableError:
    with pytest.raises(StoreUnavailableError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


# --- What is known of a command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply_bytes", [0, 2])
async def test_a_lost_reply_is_unknown_and_not_repeated(store: Store, proxy: Proxy, reply_bytes: int) -> None:
    proxy.cut_reply(after=b"INCR", bytes_max=reply_bytes)
    error = await error_of(store.call_plain("k", ("INCR", "k")))
    assert error.executed is None
    assert proxy.replies_cut == 1
    assert await store.call_plain("k", ("GET", "k")) == b"1"


async def test_a_lost_reply_of_a_link_is_unknown_and_closes_it(node: Node, proxy: Proxy) -> None:
    link = await node.link().open()
    proxy.cut_reply(after=b"INCR")
    error = await error_of(link.exchange([("INCR", "k"), ("INCR", "k")], LATER_S))
    assert error.executed is None
    assert not link.is_open
    assert (await error_of(link.exchange([("INCR", "k")], LATER_S))).executed is False
    assert await node.exchange([("GET", "k")]) == [b"2"]


async def test_who_is_refused_has_executed_nothing(store: Store, node: Node, proxy: Proxy) -> None:
    proxy.refuse()

    async def is_known_not_executed() -> bool:
        return (await error_of(store.call_plain("k", ("INCR", "k")))).executed is False

    await wait_until(is_known_not_executed, "the end of the pooled connection has arrived")
    assert (await error_of(node.exchange([("INCR", "k")]))).executed is False
    assert (await error_of(node.link().open())).executed is False
    (reply,) = await store.call_many([("FCALL", "f", 1, "k")])
    assert isinstance(reply, StoreUnavailableError)
    assert reply.executed is False


async def test_a_stalled_reply_is_unknown_and_never_taken_for_another(node: Node, proxy: Proxy) -> None:
    await node.run(("SET", "k", "old"))
    proxy.stall(to_server=False)
    assert (await error_of(node.run(("GET", "k"), SOON_S))).executed is None
    assert (await error_of(node.exchange([("GET", "k")], SOON_S))).executed is False  # it never got a connection
    proxy.resume()
    await node.run(("SET", "k", "new"))
    assert await node.run(("GET", "k")) == b"new"
    assert await node.exchange([("GET", "k")]) == [b"new"]


async def test_a_function_that_failed_halfway_is_not_a_refusal(store: Store, node: Node) -> None:
    await node.run(("FUNCTION LOAD", "REPLACE", LIBRARY))
    halfway = await error_of(store.call(("FCALL", "halfway", 1, "k")))
    assert halfway.executed is None
    assert not isinstance(halfway, StoreRefusedError)
    assert await store.call_plain("k", ("GET", "k")) == b"written"
    for name in ("refusing", "there_is_none"):
        assert isinstance(await error_of(store.call(("FCALL", name, 1, "k"))), StoreRefusedError)


async def test_a_node_that_is_known_to_be_away_is_not_asked(store: Store, node: Node, proxy: Proxy) -> None:
    accepted = proxy.accepted
    node.breaker.open("for this test")
    assert (await error_of(store.call_plain("k", ("GET", "k")))).executed is False
    (reply,) = await store.call_many([("FCALL", "f", 1, "k")])
    assert isinstance(reply, StoreUnavailableError)
    assert proxy.accepted == accepted
    node.breaker.close()
    assert await store.call_plain("k", ("GET", "k")) is None


# --- Waits end --------------------------------------------------------------------------------------------------------


async def test_waiting_for_a_turn_is_within_the_deadline(node: Node, proxy: Proxy) -> None:
    await node.exchange([("PING",)])
    proxy.stall()
    first = asyncio.create_task(node.exchange([("INCR", "k")], LATER_S))
    await wait_until(node._turn.locked, "the first has its turn")
    others = [asyncio.create_task(error_of(node.exchange([("INCR", "k")], SOON_S))) for _ in range(20)]
    assert {(await other).executed for other in others} == {False}
    assert not first.done()
    proxy.resume()
    assert await first == [1]


async def test_waiting_for_a_connection_is_within_the_deadline(node: Node, proxy: Proxy) -> None:
    proxy.stall()
    busy = [asyncio.create_task(node.run(("INCR", "k"), LATER_S)) for _ in range(REDIS_POOL_MAX)]
    await wait_until(lambda: not node.commands.connection_pool.can_get_connection(), "no connection is left")
    assert (await error_of(node.run(("INCR", "k"), SOON_S))).executed is False
    proxy.resume()
    assert sorted(await asyncio.gather(*busy)) == list(range(1, REDIS_POOL_MAX + 1))


async def test_connecting_to_a_node_that_says_nothing_ends(node: Node, proxy: Proxy) -> None:
    proxy.stall(to_server=False)  # the handshake is taken and not answered
    assert (await error_of(node.link().open())).executed is False
    proxy.resume()
    await wait_until(lambda: proxy.connections == 1, "the connection of the failed try is closed")


# asyncio's own loop never says that its buffer is full there (CVE-2024-12254); the processes run on uvloop.
WITHOUT_BACK_PRESSURE = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)


@pytest.mark.skipif(WITHOUT_BACK_PRESSURE, reason="this Python's writelines() takes any amount without waiting")
async def test_closing_a_stalled_link_wakes_its_reader(node: Node, proxy: Proxy) -> None:
    link = await node.link().open()
    reader = asyncio.create_task(error_of(link.read()))
    proxy.stall()
    big = ("SET", "k", b"x" * 50_000_000)
    assert (await error_of(link.send([big]))).executed is None
    await reader
    assert not link.is_open


# --- A link that is not to be trusted ---------------------------------------------------------------------------------


async def test_a_link_that_was_cut_while_idle_is_noticed_before_anything_is_sent(node: Node, proxy: Proxy) -> None:
    link = await node.link().open()
    assert await link.is_ready()
    proxy.cut()
    await wait_until(lambda: proxy.connections == 0, "it is cut")

    async def is_noticed() -> bool:
        return not await link.is_ready()

    await wait_until(is_noticed, "the end arrives")
    assert (await error_of(link.exchange([("INCR", "k")], LATER_S))).executed is False
    assert await node.exchange([("INCR", "k")]) == [1]  # which opens another


async def test_a_link_with_a_reply_that_nobody_asked_for_is_not_used(node: Node) -> None:
    link = await node.link().open()
    await link.send([("PING",)])

    async def is_noticed() -> bool:
        return not await link.is_ready()

    await wait_until(is_noticed, "the reply arrives")
    assert not link.is_open


async def test_a_refused_command_is_a_reply_and_leaves_the_link_open(node: Node) -> None:
    link = await node.link().open()
    refused, length = await link.exchange([("NO-SUCH-COMMAND",), ("LLEN", "k")], LATER_S)
    assert isinstance(refused, ResponseError)
    assert length == 0
    assert await link.is_ready()
    await link.close()


# --- Clusters ---------------------------------------------------------------------------------------------------------


async def test_a_node_that_does_not_answer_does_not_stall_the_layout(tmp_path: Path) -> None:
    nodes = await asyncio.to_thread(start_redis_cluster, tmp_path)
    store = None
    try:
        store = await Store.connect(nodes[0].url)
        before = store.nodes
        assert len(before) == 3
        os.kill(nodes[0].pid, signal.SIGSTOP)
        async with asyncio.timeout(CLUSTER_ASK_TIMEOUT_S * 8):
            await store.refresh()
        assert store.nodes == before
    finally:
        os.kill(nodes[0].pid, signal.SIGCONT)
        if store is not None:
            await store.aclose()
        for node in nodes:
            node.stop()


INFO = b"cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:7\r\n"
A, B = [b"10.0.0.1", 6379, b"id-a", []], [b"10.0.0.2", 6379, b"id-b", []]


def test_a_layout_has_an_owner_for_every_slot_and_all_members() -> None:
    layout = parse_layout("asked", INFO, [[0, 99, A, B], [100, SLOTS - 1, [b"", 7000, b"id-c"]]])
    assert layout is not None
    assert layout.epoch == 7
    assert layout.owners == (("10.0.0.1", 6379),) * 100 + (("asked", 7000),) * (SLOTS - 100)
    assert layout.members == (("10.0.0.1", 6379), ("10.0.0.2", 6379), ("asked", 7000))


def test_a_layout_with_a_hole_is_none() -> None:
    assert parse_layout("asked", INFO, [[0, SLOTS - 2, A]]) is None
    assert parse_layout("asked", INFO, ResponseError("no")) is None


async def test_the_newest_layout_is_believed(store: Store, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old primary that was cut off still thinks that it owns everything."""
    answers = {
        f"old:{6379}": parse_layout("old", INFO, [[0, SLOTS - 1, [b"old", 6379]]]),
        f"new:{6379}": parse_layout(
            "new", INFO.replace(b"epoch:7", b"epoch:8"), [[0, SLOTS - 1, [b"new", 6379], [b"old", 6379]]]
        ),
        node.name: None,
    }

    async def told(asked: Node, _: float) -> object:
        return answers[asked.name]

    monkeypatch.setattr("livegift.store.client._layout_by", told)
    store._members = [store._node("old", 6379), store._node("new", 6379), node]
    await store._learn_layout(LATER_S)
    assert [primary.name for primary in store.nodes] == ["new:6379"]
    assert {member.name for member in store._members} == set(answers)
    assert store.is_primary(store._node("new", 6379))
    assert not store.is_primary(store._node("old", 6379))
