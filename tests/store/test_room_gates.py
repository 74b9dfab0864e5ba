"""Rooms and the gate of their node: while it is closed, and of what was lost, nothing is published or shown."""

from dataclasses import replace

import orjson
import pytest

from livegift.domain.partitions import Position
from livegift.store.client import Store, StoreRefusedError
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Rooms, publish
from tests.store.publications import publication


async def test_a_room_that_lost_its_state_publishes_nothing_until_somebody_has_looked(store: Store) -> None:
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(1)]))
    epoch = orjson.loads((await rooms.snapshot("r1")).header)["epoch"]
    await store.call_plain("r1", ("FLUSHALL",))
    with pytest.raises(StoreRefusedError, match="lost its state"):
        await store.call(publish("r1", [publication(2)]))
    (node,) = store.nodes
    await rooms.close_gate(node)
    await rooms.claim_gate(node, epoch + 1)
    await rooms.open_gate(node, epoch + 1, {})
    assert await store.call(publish("r1", [publication(2)])) == 1
    snapshot = await rooms.snapshot("r1", 1, str(epoch))
    assert not snapshot.complete
    assert orjson.loads(snapshot.header)["epoch"] == epoch + 1


async def test_a_room_that_was_compared_and_then_vanishes_takes_nothing(store: Store) -> None:
    """Nothing was published to it since the gate was opened; entry 2 would hide that it has lost entry 1."""
    rooms, (node,) = Rooms(store), store.nodes
    for see in (rooms.contributions, lambda names: rooms.fence(names, {publication(1).partition: Position(1, 1)})):
        assert await store.call(publish("r1", [publication(1)])) == 1
        await rooms.close_gate(node)
        await rooms.claim_gate(node, 2)
        await see(["r1"])
        await rooms.open_gate(node, 2, {})
        await store.call_plain("r1", ("FLUSHALL",))
        for command in (publish("r1", [publication(2)]), publish("r1", [publication(1)])):
            with pytest.raises(StoreRefusedError, match="lost its state"):
                await store.call(command)
        assert await store.call(publish("r2", [publication(1)])) == 1, "another room is none of this"
        await rooms.close_gate(node)
        await rooms.claim_gate(node, 3)
        await rooms.open_gate(node, 3, {})
        await store.call_plain("r1", ("FLUSHALL",))


async def test_while_its_gate_is_closed_a_node_publishes_nothing(store: Store) -> None:
    rooms = Rooms(store)
    await store.call(publish("r1", [publication(1)]))
    (node,) = store.nodes
    await rooms.close_gate(node)
    assert await rooms.gate(node) == ""
    for command in (publish("r1", [publication(2)]), publish("r2", [publication(1)])):
        with pytest.raises(StoreRefusedError, match="being compared"):
            await store.call(command)
    with pytest.raises(StoreRefusedError, match="being compared"):
        await rooms.announce("r1", b'"type":"room"}', "opened")
    with pytest.raises(StoreRefusedError, match="being compared"):
        await rooms.snapshot("r1")  # numbers that were lost may be given to other events
    assert await rooms.heads(["r1"]) == {}
    assert (await rooms.totals("r1")).gifts == 1, "who compares can read it"
    await rooms.claim_gate(node, 7)
    await rooms.open_gate(node, 7, {publication(1).partition: Incarnation(1, 0)})
    assert await store.call(publish("r1", [publication(2)])) == 1


async def test_what_was_read_before_the_relays_were_set_back_is_refused(store: Store) -> None:
    """A relay that has queued entry 3 must not get it in before the entries that the room has lost."""
    rooms, (node,) = Rooms(store), store.nodes
    await store.call(publish("r1", [publication(1)]))
    await rooms.close_gate(node)
    await rooms.claim_gate(node, 2)
    await rooms.open_gate(node, 2, {publication(1).partition: Incarnation(2, 1)})
    for early in (Incarnation(1, 7), Incarnation(2, 0)):
        with pytest.raises(StoreRefusedError, match="before the relays were set back"):
            await store.call(publish("r1", [replace(publication(3), incarnation=early)]))
    for n, late in ((2, Incarnation(2, 1)), (3, Incarnation(3, 0))):
        assert await store.call(publish("r1", [replace(publication(n), incarnation=late)])) == 1


async def test_only_who_has_claimed_the_gate_of_this_very_process_opens_it(store: Store) -> None:
    """Else rooms would be opened that lost something since they were compared."""
    rooms, (node,) = Rooms(store), store.nodes
    await rooms.close_gate(node)
    for token in (7, 8):
        await rooms.claim_gate(node, token)
    assert not await rooms.open_gate(node, 7, {}), "claimed by somebody else"
    await rooms.close_gate(node)  # as a restart does
    assert not await rooms.open_gate(node, 8, {}), "started again"
    assert await rooms.gate(node) == ""


async def test_a_room_that_vanishes_has_another_epoch(store: Store) -> None:
    """Viewers know numbers of it: a snapshot of nothing in the same epoch would be a step back."""
    rooms, (node,) = Rooms(store), store.nodes
    await store.call(publish("r1", [publication(1)]))
    await rooms.close_gate(node)
    await rooms.claim_gate(node, 7)
    await rooms.open_gate(node, 7, {})
    before = (await rooms.heads(["r1"]))["r1"]
    await store.call_plain("r1", ("FLUSHALL",))
    assert await rooms.heads(["r1"]) == {}, "nothing is told of it before it was compared again"
    await rooms.close_gate(node)
    await rooms.claim_gate(node, 9)
    await rooms.open_gate(node, 9, {})
    after = (await rooms.heads(["r1"]))["r1"]
    assert before[1] == 1
    assert after[1] == 0
    assert before[0] != after[0]
