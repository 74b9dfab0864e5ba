"""Two versions of the functions live side by side in an upgrade: both take money under one epoch."""

from livegift.domain.partitions import Position
from livegift.domain.spending import Accepted, GiftSend
from livegift.runtime.event_ids import KEY_BYTES
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.functions import source
from livegift.store.outbox import Outbox
from livegift.store.wallets import Display, Wallets, gift_send, parse_outcome

NEXT = functions.VERSION + 1


async def load_next_version(store: Store) -> None:
    """The same functions under the names that the next version has."""
    code = source("wallets").replace(f"_{functions.VERSION}", f"_{NEXT}")
    await store.nodes[0].commands.execute_command("FUNCTION LOAD", "REPLACE", code)


async def test_both_versions_are_armed_and_disarmed_together(store: Store) -> None:
    outbox, wallets = Outbox(store, 1), Wallets(store, 1, 3600)
    await load_next_version(store)
    assert await functions.other_versions(store.nodes[0]) == (NEXT,)
    token, said = await outbox.disarm(0)
    assert said == Position(0, 0)
    await outbox.arm(0, Position(1, 0), token, 1000, bytes(KEY_BYTES))
    send = GiftSend("ann", "ref", "ab", "r1", "bob", "rose", 0, 1, 0, False)
    command = list(gift_send(outbox.roots[0], [(send, Display("null"))], await now_ms(store), 1000, 3600))
    (old,) = await store.call(tuple(command))
    command[1] = f"gift_send_{NEXT}"
    (new,) = await store.call(tuple(command))
    first, second = parse_outcome(old), parse_outcome(new)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (second.event_id, second.duplicate) == (first.event_id, True), "one memory of refs"
    await outbox.disarm(0)
    for version in (functions.VERSION, NEXT):
        command[1] = f"gift_send_{version}"
        assert await store.call(tuple(command)) == [b"error|the partition is not armed"]
    assert (await wallets.read("ann")).seq == 1


async def test_an_earlier_version_is_never_armed(store: Store) -> None:
    """An old process that starts again may load it, and it would store wallets in a form that nobody else reads."""
    outbox, earlier = Outbox(store, 1), functions.VERSION - 1
    code = source("wallets").replace(f"_{functions.VERSION}", f"_{earlier}")
    await store.nodes[0].commands.execute_command("FUNCTION LOAD", "REPLACE", code)
    token, said = await outbox.disarm(0)
    await outbox.arm(0, Position(said.epoch + 1, said.n), token, 1000, bytes(KEY_BYTES))
    send = GiftSend("ann", "ref", "ab", "r1", "bob", "rose", 0, 1, 0, False)
    command = list(gift_send(outbox.roots[0], [(send, Display("null"))], await now_ms(store), 1000, 3600))
    command[1] = f"gift_send_{earlier}"
    assert await store.call(tuple(command)) == [b"error|the partition is not armed"]
    assert (await outbox.states([0]))[0].armed_epoch == said.epoch + 1
    assert await functions.remove_older(store) == [f"{store.nodes[0].name} livegift_wallets_{earlier}"]


async def now_ms(store: Store) -> int:
    seconds, micros = await store.nodes[0].commands.time()
    return int(seconds) * 1000 + int(micros) // 1000
