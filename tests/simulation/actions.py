"""All that can happen in a world, as a list of atomic steps."""

from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import NamedTuple

from tests.simulation import arming, checking, faults, traffic
from tests.simulation.state import Config, World

Run = Callable[[World], World | None]


class Kind(Enum):
    """The kind of a step. WORK continues by itself until the system rests; other steps need not happen."""

    WORK = "work"
    CLIENT = "client"
    CHANCE = "chance"
    FAULT = "fault"


class Action(NamedTuple):
    """A step. `run` returns the world after it, or None when it can't happen or changes nothing."""

    label: str
    kind: Kind
    run: Run


def actions(config: Config) -> tuple[Action, ...]:
    """Return all steps, in a fixed order."""
    return (*_work(config), *_clients(config), *_chances(config), *_faults(config))


def _work(config: Config) -> Iterator[Action]:
    for i in range(config.armers):
        if config.armers > 1:
            yield Action(f"armer {i}: notice", Kind.WORK, partial(arming.notice, config, i))
            yield Action(f"armer {i}: next step", Kind.WORK, partial(arming.step, config, i))
        else:
            yield Action(f"armer {i}: begin", Kind.WORK, partial(arming.notice, config, i))
            yield Action(f"armer {i}: next step", Kind.WORK, partial(arming.step, config, i))
    for i in range(config.checkers):
        yield Action(f"checker {i}: begin", Kind.WORK, partial(checking.begin, config, i))
        yield Action(f"checker {i}: next step", Kind.WORK, partial(checking.step, config, i))
        yield Action(f"checker {i}: set the relays back", Kind.WORK, partial(checking.rewind, config, i, is_old=False))
    for i in range(config.bookers):
        yield Action(f"booker {i}: commit", Kind.WORK, partial(traffic.booker_commit, config, i))
        if config.together:
            run = partial(traffic.booker_commit, config, i, half=True)
            yield Action(f"booker {i}: commit the first half", Kind.CHANCE, run)
        yield Action(f"booker {i}: save its cursor", Kind.WORK, partial(traffic.booker_save, config, i))
        yield Action(f"booker {i}: read", Kind.WORK, partial(traffic.booker_read, config, i, is_old=False))
    for i in range(config.relays):
        yield Action(f"relay {i}: begin again", Kind.WORK, partial(traffic.relay_refresh, config, i))
        yield Action(f"relay {i}: publish", Kind.WORK, partial(traffic.relay_publish, config, i))
        yield Action(f"relay {i}: read", Kind.WORK, partial(traffic.relay_read, config, i, is_old=False))
        yield Action(f"relay {i}: save its cursor", Kind.WORK, partial(traffic.relay_save, config, i))


def _clients(config: Config) -> Iterator[Action]:
    for ref in range(len(config.users)):
        yield Action(f"a client sends ref {ref}", Kind.CLIENT, partial(traffic.send, config, ref, is_old=False))
    if config.together:
        yield Action("a call sends all refs", Kind.CLIENT, partial(traffic.send_together, config))


def _chances(config: Config) -> Iterator[Action]:
    if "crash" in config.kinds:
        yield Action("the wallets' disk catches up", Kind.CHANCE, partial(faults.flush_disk, config))
    if "room" in config.kinds:
        yield Action("the rooms' disk catches up", Kind.CHANCE, partial(faults.flush_rooms, config))
    if "restore" in config.kinds:
        yield Action("the ledger's backup catches up", Kind.CHANCE, partial(faults.back_up, config))
    if config.trims:
        yield Action("an aggregator trims", Kind.CHANCE, partial(traffic.trim, config))
    if "promote" not in config.kinds:
        return
    yield Action("the replica catches up", Kind.CHANCE, partial(faults.replicate, config))
    yield Action("the old primary ends", Kind.CHANCE, partial(faults.old_ends, config))
    for who, action in _stale(config):
        if who in config.stale:
            yield action


def _stale(config: Config) -> Iterator[tuple[str, Action]]:
    """Yield the steps of workers and clients that take an old primary for the present one."""
    for ref in range(len(config.users)):
        run = partial(traffic.send, config, ref, is_old=True)
        yield "client", Action(f"a client sends ref {ref} to the old primary", Kind.CLIENT, run)
    for i in range(config.relays):
        run = partial(traffic.relay_read, config, i, is_old=True)
        yield "relay", Action(f"relay {i}: read the old primary", Kind.CHANCE, run)
    for i in range(config.bookers):
        run = partial(traffic.booker_read, config, i, is_old=True)
        yield "booker", Action(f"booker {i}: read the old primary", Kind.CHANCE, run)
    for i in range(config.armers):
        run = partial(arming.notice_old, config, i)
        yield "armer", Action(f"armer {i}: begin with the old primary", Kind.CHANCE, run)
    for i in range(config.checkers):
        run = partial(checking.rewind, config, i, is_old=True)
        yield "checker", Action(f"checker {i}: set the relays back in the old primary", Kind.CHANCE, run)


def _faults(config: Config) -> Iterator[Action]:
    counts = {
        "relay": config.relays,
        "booker": config.bookers,
        "armer": config.armers,
        "connection": config.armers,
        "checker": config.checkers,
    }
    for kind in sorted(config.kinds):
        if kind in faults.SIMPLE:
            yield Action(f"fault {kind}", Kind.FAULT, _costly(config, partial(faults.SIMPLE[kind], config)))
        else:
            for i in range(counts[kind]):
                yield Action(f"fault {kind} {i}", Kind.FAULT, _costly(config, partial(faults.INDEXED[kind], config, i)))


def _costly(config: Config, run: Run) -> Run:
    def limited(world: World) -> World | None:
        if world.faults == 0:
            return None
        after = run(world)
        if after is None:
            return None
        after = after._replace(faults=world.faults - 1)
        return after if after.faults else faults.forget_disks(after, config)

    return limited
