"""Normal traffic: clients send, relays publish, aggregators book and trim."""

from livegift.domain.partitions import START, Position
from tests.simulation import ledger, partition, rooms
from tests.simulation.arming import process_of, with_process
from tests.simulation.partition import put
from tests.simulation.state import IDLE_BOOKER, Booker, Config, Process, Relay, World


def send(config: Config, ref: int, world: World, *, is_old: bool) -> World | None:
    """Send a ref, for the first time or again; the system does not depend on whether the answer arrives."""
    process = process_of(world, is_old=is_old)
    if process is None or world.sends == 0:
        return None
    if ref and _are_alike(config, ref, ref - 1) and not world.sent >> (ref - 1) & 1:
        return None  # it would only be another name for the one before
    process = partition.send(process, (ref,), config)
    if process is None:
        return None
    world = with_process(world, process, is_old=is_old)
    world = world._replace(sends=world.sends - 1, sent=world.sent | 1 << ref)
    # With two primaries, the ledger may have begun the other one's epoch: then this one's gifts are lost.
    is_cut_off = "promote" in config.kinds and world.live.armed < world.ledger.at.epoch
    if is_old or is_cut_off:
        return world
    return world._replace(accepted=put(world.accepted, ref, process.image.refs[ref]))


def send_together(config: Config, world: World) -> World | None:
    """Send all refs in one call."""
    process = (
        None if world.sends < len(config.users) else partition.send(world.live, tuple(range(len(config.users))), config)
    )
    if process is None:
        return None
    world = world._replace(live=process, sends=world.sends - len(config.users), sent=(1 << len(config.users)) - 1)
    if "promote" in config.kinds and world.live.armed < world.ledger.at.epoch:
        return world
    return world._replace(accepted=process.image.refs)


def _are_alike(config: Config, ref: int, other: int) -> bool:
    return (config.users[ref], config.rooms[ref]) == (config.users[other], config.rooms[other])


# --- The relays -------------------------------------------------------------------------------------------------------


def _set_relay(world: World, index: int, relay: Relay) -> World:
    return world._replace(relays=put(world.relays, index, relay))


def relay_read(config: Config, index: int, world: World, *, is_old: bool) -> World | None:
    process, relay = process_of(world, is_old=is_old), world.relays[index]
    found = partition.after(process.image, relay.cursor, config.design) if process else ()
    if not found:
        return None
    return _set_relay(world, index, relay._replace(cursor=found[-1].at, queue=relay.queue + found))


def relay_publish(config: Config, index: int, world: World) -> World | None:
    """Publish the first entry in the queue."""
    relay, design = world.relays[index], config.design
    if not relay.queue or not rooms.accepts(world.node, relay.incarnation, design):
        return None
    entry = relay.queue[0]
    room = config.rooms[entry.ref]
    node = rooms.publish(world.node, room, entry, design)
    if node is not world.node:
        told = (node.rooms[room].epoch, node.rooms[room].seq)
        if told <= world.told[room]:
            world = world._replace(alarm=f"room {room} tells {told} after {world.told[room]}")
        world = world._replace(node=node, told=put(world.told, room, told))
    return _set_relay(world, index, relay._replace(queue=relay.queue[1:]))


def relay_save(config: Config, index: int, world: World) -> World | None:
    """Store the last entry before the first that is not published."""
    relay = world.relays[index]
    if config.design.save_armed and not partition.is_open(world.live):
        return None
    done = relay.cursor
    if relay.queue:
        first = relay.queue[0].at
        done = min(done, Position(first.epoch, first.n - 1))
    image = partition.advance_relayed(world.live.image, done, relay.incarnation, config.design)
    return world._replace(live=world.live._replace(image=image)) if image else None


def loaded(world: World) -> Relay:
    """Return a relay that begins."""
    image = world.live.image
    return Relay(image.relayed, (), (image.epoch, image.generation))


def relay_refresh(config: Config, index: int, world: World) -> World | None:
    """Notice another incarnation of the partition, drop the queue, and begin at the stored cursor."""
    image = world.live.image
    if not config.design.refresh or world.relays[index].incarnation == (image.epoch, image.generation):
        return None
    return _set_relay(world, index, loaded(world))


# --- Booking ----------------------------------------------------------------------------------------------------------


def _set_booker(world: World, index: int, booker: Booker) -> World:
    return world._replace(bookers=put(world.bookers, index, booker))


def booker_read(config: Config, index: int, world: World, *, is_old: bool) -> World | None:
    """Load the checkpoint, read what comes after it, and wait until that is durable, on one connection.

    It is one step: a crash of Redis in the middle ends the connection, and the batch is dropped.
    """
    process = process_of(world, is_old=is_old)
    if world.bookers[index] != IDLE_BOOKER or process is None or world.ledger.stopped:
        return None
    found = partition.after(process.image, world.ledger.at, config.design)
    if not found or (is_old and config.durability == "replicated" and config.design.barrier):
        return None  # an old primary has nobody who would confirm
    world = _set_booker(world, index, Booker(world.ledger.at, found))
    if is_old or config.durability == "none" or not config.design.barrier:
        return world
    if world.faults == 0:
        return world
    world = world._replace(disk=process.image)
    if config.durability == "replicated" and world.replica is not None:
        world = world._replace(replica=process.image)
    return world


def booker_commit(config: Config, index: int, world: World, *, half: bool = False) -> World | None:
    """Book in one transaction. If its answer is lost, the booker begins again from the checkpoint."""
    booker = world.bookers[index]
    if not booker.entries or (world.ledger.lock and config.design.lock):
        return None
    if world.ledger.stopped:
        return _set_booker(world, index, IDLE_BOOKER)
    entries = booker.entries
    if half:  # as when a booking is bisected, because one of its gifts is refused
        if len(entries) == 1:
            return None
        entries = entries[: len(entries) // 2]
    booked = ledger.book(world.ledger, booker.after, entries, config)
    if booked is None or booked.stopped:
        world = _set_booker(world, index, IDLE_BOOKER)
        return world._replace(ledger=booked) if booked else world
    then = Booker(START, (), entries[-1].at) if config.trims else IDLE_BOOKER  # else nobody asks for the cursor
    return _set_booker(world._replace(ledger=booked), index, then)


def booker_save(config: Config, index: int, world: World) -> World | None:
    """Store in Redis what is booked, so that it may be trimmed."""
    booker = world.bookers[index]
    if booker.booked is None:
        return None
    image = partition.advance_booked(world.live.image, booker.booked, config.design)
    if image:
        world = world._replace(live=world.live._replace(image=image))
    return _set_booker(world, index, IDLE_BOOKER)


def trim(config: Config, world: World) -> World | None:
    """Trim what is booked, as any aggregator may at any time, but not beyond a ledger that may be set back."""
    upto = world.ledger.at if world.backup is None else world.backup.at
    if not config.design.keep_booked:
        upto = Position(world.live.image.epoch, world.live.image.n)
    image = partition.trim(world.live.image, upto, config.design)
    return world._replace(live=Process(image, world.live.armed, world.live.claim)) if image else None
