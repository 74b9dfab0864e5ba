"""The faults. Each costs one of the world's `faults`; the progress of disks and the replica is free."""

from tests.simulation import arming
from tests.simulation.partition import put
from tests.simulation.state import IDLE_BOOKER, IDLE_CHECKER, Config, Image, Process, World, start
from tests.simulation.traffic import loaded


def flush_disk(_config: Config, world: World) -> World | None:
    """Let the wallets' disk catch up."""
    return world._replace(disk=world.live.image) if world.faults and world.disk != world.live.image else None


def flush_rooms(_config: Config, world: World) -> World | None:
    """Let the rooms' disk catch up."""
    node = world.node
    return world._replace(node=node._replace(disk=node.rooms)) if world.faults and node.disk != node.rooms else None


def replicate(_config: Config, world: World) -> World | None:
    """Let the replica catch up."""
    if not world.faults or world.replica is None or world.replica == world.live.image:
        return None
    return world._replace(replica=world.live.image)


def back_up(_config: Config, world: World) -> World | None:
    """Make the present state the one to which the ledger may be set back."""
    now = world.ledger._replace(lock=0)
    return world._replace(backup=now) if world.backup is not None and world.backup != now else None


def old_ends(_config: Config, world: World) -> World | None:
    """Let an old primary learn that it is one."""
    return world._replace(old=None) if world.old is not None else None


def _begun(world: World, image: Image, old: Process | None) -> World:
    """Begin another process with this image. What neither it nor the ledger has is lost."""
    return arming.keep_accepted(world, image.refs)._replace(live=Process(image), disk=image, old=old)


def crash(_config: Config, world: World) -> World | None:
    """Restart the wallets' Redis from its disk."""
    return _begun(world, world.disk, world.old)


def promote(_config: Config, world: World) -> World | None:
    """Promote the replica; the old primary does not know yet."""
    return _begun(world, world.replica, world.live)._replace(replica=None) if world.replica is not None else None


def fail_back(_config: Config, world: World) -> World | None:
    """Let the old primary, restarted, take over again."""
    return _begun(world, world.old.image, None) if world.old is not None else None


def flush(config: Config, world: World) -> World | None:
    """Bring the wallets' Redis back empty."""
    none = Image(0, 0, tuple(w._replace(balance=config.coins, seq=0) for w in world.disk.wallets), (), ())
    return _begun(world, none._replace(refs=(None,) * len(config.users)), None)


def crash_rooms(config: Config, world: World) -> World | None:
    """Restart the rooms' Redis from its disk, with its gate closed."""
    node = world.node
    gate = 0 if config.design.gate else node.gate
    return world._replace(
        node=node._replace(rooms=node.disk, gate=gate, claim=0, since=(0, 0), changed=(False,) * len(node.rooms))
    )


def restore_ledger(_config: Config, world: World) -> World | None:
    """Set the ledger back; whatever was in progress in it ends. Tokens continue: they are above the clock's time."""
    if world.backup is None:
        return None
    then = world.backup._replace(tokens=world.ledger.tokens)
    return world._replace(ledger=then) if then != world.ledger else None


def end_relay(_config: Config, index: int, world: World) -> World | None:
    """End a relay and begin another one."""
    relay = loaded(world)
    return world._replace(relays=put(world.relays, index, relay)) if relay != world.relays[index] else None


def end_booker(_config: Config, index: int, world: World) -> World | None:
    """End an aggregator while it books, or before it learns whether it has."""
    if world.bookers[index] == IDLE_BOOKER:
        return None
    return world._replace(bookers=put(world.bookers, index, IDLE_BOOKER))


def end_armer(_config: Config, index: int, world: World) -> World | None:
    """End an aggregator while it arms."""
    return arming.give_up(world, index) if world.armers[index].phase not in arming.IDLE_PHASES else None


def lose_connection(_config: Config, index: int, world: World) -> World | None:
    """Break an armer's connection to the ledger, without its noticing yet."""
    return world._replace(ledger=world.ledger._replace(lock=0)) if world.ledger.lock == index + 1 else None


def end_checker(_config: Config, index: int, world: World) -> World | None:
    """End an aggregator while it compares rooms."""
    if world.checkers[index].phase == "idle":
        return None
    return world._replace(checkers=put(world.checkers, index, IDLE_CHECKER))


def forget_disks(world: World, config: Config) -> World:
    """Drop the disks after the last fault, when they no longer matter: fewer states to distinguish."""
    first = start(config)
    node = world.node._replace(disk=first.node.disk)
    return world._replace(disk=first.disk, replica=None, node=node)


SIMPLE = {
    "crash": crash,
    "promote": promote,
    "failback": fail_back,
    "flush": flush,
    "room": crash_rooms,
    "restore": restore_ledger,
}
INDEXED = {
    "relay": end_relay,
    "booker": end_booker,
    "armer": end_armer,
    "connection": lose_connection,
    "checker": end_checker,
}
