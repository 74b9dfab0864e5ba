"""Arming, step by step (livegift/recovery/partitions.py): anything else may happen between two steps."""

from collections.abc import Callable

from livegift.domain.partitions import Position
from livegift.domain.recovery import Comparison, RecoveryStep, compare
from tests.simulation import ledger, partition, rooms
from tests.simulation.partition import put
from tests.simulation.state import IDLE_ARMER, Armer, Config, Process, RoomContribution, World

IDLE_PHASES = ("idle", "noticed")


def process_of(world: World, *, is_old: bool) -> Process | None:
    """Return the Redis that a worker talks to; the old primary may be gone."""
    return world.old if is_old else world.live


def with_process(world: World, process: Process, *, is_old: bool) -> World:
    return world._replace(old=process) if is_old else world._replace(live=process)


def _set(world: World, index: int, armer: Armer) -> World:
    return world._replace(armers=put(world.armers, index, armer))


def give_up(world: World, index: int) -> World:
    """Roll back, unlock the row, and begin again later."""
    if world.ledger.lock == index + 1:
        world = world._replace(ledger=world.ledger._replace(lock=0))
    return _set(world, index, IDLE_ARMER)


def keep_accepted(world: World, refs: tuple[Position | None, ...]) -> World:
    """Count what neither these refs nor the ledger have as lost, without anybody's fault."""
    known = {row.at for row in world.ledger.rows}.union(at for at in refs if at)
    return world._replace(accepted=tuple(at if at in known else None for at in world.accepted))


def notice(config: Config, index: int, world: World) -> World | None:
    """Notice that the partition is not armed. Noticing it late means beginning in vain, which must do no harm."""
    if world.armers[index].phase != "idle" or world.live.armed == world.ledger.at.epoch or world.ledger.stopped:
        return None
    if config.armers == 1:
        return begin(config, index, world, is_old=False)
    return _set(world, index, Armer("noticed"))


def notice_old(config: Config, index: int, world: World) -> World | None:
    """Notice it in an old primary that the aggregator takes for the present one."""
    if world.armers[index].phase != "idle" or world.old is None or world.ledger.stopped:
        return None
    if world.old.armed == world.ledger.at.epoch or world.ledger.at.epoch > config.faults + 1:
        return None
    return begin(config, index, world, is_old=True)


def begin(config: Config, index: int, world: World, *, is_old: bool) -> World | None:
    """Lock the checkpoint, disarm, compare."""
    process = process_of(world, is_old=is_old)
    if process is None or (config.design.lock and world.ledger.lock):
        return None
    if world.ledger.at.epoch > config.faults + 1:
        # Two that disarm each other for ever are not modelled: the real ones wait in between.
        others = (armer.phase for at, armer in enumerate(world.armers) if at != index)
        if any(phase not in IDLE_PHASES for phase in others):
            return None
        if not is_old and world.live.armed == world.ledger.at.epoch:
            return _set(world, index, IDLE_ARMER)
    image, at = process.image, world.ledger.at
    stored = Position(image.epoch, image.n)
    comparison = compare(stored, at, dict(world.ledger.bases))
    step = comparison.step
    if step is RecoveryStep.DRAIN and not config.design.drain:
        step = RecoveryStep.ARM
    if step is RecoveryStep.DRAIN and not process.armed:
        return None  # nothing would change
    world = with_process(world, partition.disarm(process, index + 1, config.design), is_old=is_old)
    if step is RecoveryStep.STOP or (step is RecoveryStep.RESTORE and "flush" not in config.kinds):
        return _set(world._replace(ledger=world.ledger._replace(stopped=True)), index, IDLE_ARMER)
    if comparison.lost and not is_old and _is_kept(config):
        world = world._replace(alarm=f"Redis has lost {comparison.lost} entries that a barrier has promised")
    return _plan(config, index, world, comparison, stored, is_old=is_old)


def _is_kept(config: Config) -> bool:
    harmless = {"crash", "room", "relay", "booker", "armer", "checker", "connection"}
    if config.durability == "replicated":
        harmless.add("promote")
    return config.durability != "none" and config.kinds <= harmless


def _plan(config: Config, index: int, world: World, found: Comparison, stored: Position, *, is_old: bool) -> World:
    process = process_of(world, is_old=is_old)
    assert process is not None
    new = 1 if config.design.new_epoch else 0
    at = Position(max(stored.epoch, world.ledger.at.epoch) + new, world.ledger.at.n)
    phase = "drain" if found.step is RecoveryStep.DRAIN and config.design.drain else "epoch"
    relayed_n = process.image.relayed.n if config.design.fill_always else 0
    if found.step in (RecoveryStep.REPAIR, RecoveryStep.RESTORE):
        relayed_n = at.n
        phase = "diverged" if found.diverged else "wallets"
    armer = Armer(phase, is_old, stored, world.ledger.at, found.common_n, relayed_n=relayed_n, at=at)
    lock = index + 1 if config.design.lock else 0
    return _set(world._replace(ledger=world.ledger._replace(lock=lock)), index, armer)


def step(config: Config, index: int, world: World) -> World | None:
    """Take the next step of an arming."""
    armer = world.armers[index]
    if armer.phase == "idle":
        return None
    if armer.phase == "noticed":
        return begin(config, index, world, is_old=False)
    return STEPS[armer.phase](config, index, world, armer)


def _stop(config: Config, index: int, world: World, process: Process) -> World:
    """Stop the partition because entries are missing, unless this is not the Redis that was disarmed."""
    if not config.design.stop_claim or partition.is_claimed(process, index + 1, config.design):
        world = world._replace(ledger=world.ledger._replace(stopped=True))
    return give_up(world, index)


def _read_undrained(config: Config, index: int, world: World, armer: Armer) -> World:
    """Check that the entries to be booked first are all there."""
    process = process_of(world, is_old=armer.is_old)
    if process is None:
        return give_up(world, index)
    first = next(iter(partition.after(process.image, armer.booked, config.design)), None)
    if first is None or first.at.n != armer.booked.n + 1:
        return _stop(config, index, world, process)
    return give_up(world, index)


def _read_diverged(config: Config, index: int, world: World, armer: Armer) -> World:
    process = process_of(world, is_old=armer.is_old)
    if process is None:
        return give_up(world, index)
    found = tuple(entry for entry in process.image.outbox if entry.at.n > armer.common_n)
    if [entry.at.n for entry in found] != list(range(armer.common_n + 1, armer.stored.n + 1)):
        return _stop(config, index, world, process)
    phase = "forget" if config.design.cut_with_n else "cut"
    return _set(world, index, armer._replace(phase=phase, diverged=found))


def _repair(config: Config, index: int, world: World, armer: Armer) -> World:
    """Make one of the calls that write to the disarmed partition."""
    process = process_of(world, is_old=armer.is_old)
    if process is None or not partition.is_claimed(process, index + 1, config.design):
        return give_up(world, index)
    image, design = process.image, config.design
    lost = tuple(row for row in world.ledger.rows if row.at.n > armer.common_n)
    if armer.phase == "cut":
        image, phase = (partition.cut(image, armer.common_n) if design.cut else image), "forget"
    elif armer.phase == "forget":
        image, phase = (partition.forget(image, armer.diverged) if design.forget_refs else image), "wallets"
    elif armer.phase == "wallets":
        heads = {config.users[e.ref]: world.ledger.heads[config.users[e.ref]] for e in (*armer.diverged, *lost)}
        image, phase = (partition.put_wallets(image, heads) if design.put_wallets else image), "refs"
    elif armer.phase == "refs":
        image, phase = (partition.put_refs(image, lost) if design.put_refs else image), "put"
    else:
        at = Position(world.ledger.at.epoch, armer.at.n)
        image, phase = partition.put_position(image, armer.common_n, at, design), "epoch"
    world = with_process(world, process._replace(image=image), is_old=armer.is_old)
    return _set(world, index, armer._replace(phase=phase))


def _begin_epoch(config: Config, index: int, world: World, armer: Armer) -> World:
    if config.design.lock and world.ledger.lock != index + 1:
        return give_up(world, index)  # the connection was lost, and with it the lock: the commit fails
    if armer.is_old:
        # Taking the old primary for the present one makes it so: what the new one has accepted is lost.
        world = keep_accepted(world, world.old.image.refs if world.old else ())
    world = world._replace(ledger=ledger.begin_epoch(world.ledger, armer.at))
    return _set(world, index, armer._replace(phase="fence", diverged=()))


def _fence(config: Config, index: int, world: World, armer: Armer) -> World:
    """Tell a room where the epoch begins, and check its contribution."""
    if armer.room == config.room_count:
        return _set(world, index, armer._replace(phase="arm"))
    if _is_set_back(config, world, armer):
        return give_up(world, index)
    node = rooms.fence(world.node, armer.room, armer.at, config.design)
    world = world._replace(node=node)
    room = node.rooms[armer.room]
    is_wrong = config.design.revoke and ledger.revoked_above(room.contribution, _bases(world, armer)) is not None
    if not is_wrong and config.design.fill:
        is_wrong = _lacks(config, world, armer, room.contribution)
    if not is_wrong:
        return _set(world, index, armer._replace(room=armer.room + 1))
    to = max(armer.at, world.ledger.at)
    return _set(world, index, armer._replace(phase="correct", contribution=room.contribution, to=to))


def _is_set_back(config: Config, world: World, armer: Armer) -> bool:
    """Return whether the ledger no longer knows the epoch that this arming has committed."""
    return config.design.set_back and world.ledger.at < armer.at


def _bases(world: World, armer: Armer) -> dict[int, int]:
    return {**ledger.bases_before(world.ledger, armer.at.epoch), armer.at.epoch: armer.at.n}


def _lacks(config: Config, world: World, armer: Armer, contribution: RoomContribution) -> bool:
    """Return whether the room lacks gifts that no relay will publish."""
    ns = [row.at.n for row in ledger.contribution_of(world.ledger, armer.room, config)]
    return any(contribution.mark.n < n <= armer.relayed_n for n in ns)


def _correct(config: Config, index: int, world: World, armer: Armer) -> World:
    if _is_set_back(config, world, armer):
        return give_up(world, index)
    revoke_above = ledger.revoked_above(armer.contribution, _bases(world, armer))
    right = ledger.right_contribution(world.ledger, armer.room, armer.to, config)
    change = rooms.Correction(armer.contribution, armer.to, right, revoke_above, is_lost=revoke_above is None)
    node = rooms.correct(world.node, armer.room, change, config.design)
    armer = armer._replace(phase="fence", contribution=RoomContribution(Position(0, 0), 0), to=Position(0, 0))
    if node is None:
        return _set(world, index, armer)  # it has changed since: look again
    return _set(world._replace(node=node), index, armer._replace(room=armer.room + 1))


def _arm(config: Config, index: int, world: World, armer: Armer) -> World:
    process = process_of(world, is_old=armer.is_old)
    armed = process and partition.arm(process, armer.at, index + 1, config.design)
    if not armed:
        return give_up(world, index)
    world = with_process(world, armed, is_old=armer.is_old)
    return _set(world, index, armer._replace(phase="advance") if config.trims else IDLE_ARMER)


def _advance(config: Config, index: int, world: World, armer: Armer) -> World:
    process = process_of(world, is_old=armer.is_old)
    image = process and partition.advance_booked(process.image, armer.at, config.design)
    if process and image:
        world = with_process(world, process._replace(image=image), is_old=armer.is_old)
    return _set(world, index, IDLE_ARMER)


STEPS: dict[str, Callable[[Config, int, World, Armer], World]] = {
    "drain": _read_undrained,
    "diverged": _read_diverged,
    "cut": _repair,
    "forget": _repair,
    "wallets": _repair,
    "refs": _repair,
    "put": _repair,
    "epoch": _begin_epoch,
    "fence": _fence,
    "correct": _correct,
    "arm": _arm,
    "advance": _advance,
}
