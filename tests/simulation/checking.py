"""The comparison of rooms whose Redis has restarted, before they publish (livegift/recovery/rooms.py)."""

from collections.abc import Callable

from livegift.domain.recovery import position_at
from tests.simulation import ledger, partition, rooms
from tests.simulation.arming import process_of, with_process
from tests.simulation.partition import put
from tests.simulation.state import IDLE_CHECKER, Checker, Config, World


def _set(world: World, index: int, checker: Checker) -> World:
    return world._replace(checkers=put(world.checkers, index, checker))


def _has_tried_enough(config: Config, world: World) -> bool:
    return world.ledger.tokens > config.design.epoch_stride * (config.faults + 1)


def _token(config: Config, world: World) -> tuple[World, int]:
    token = world.ledger.tokens + config.design.epoch_stride
    return world._replace(ledger=world.ledger._replace(tokens=token)), token


def begin(config: Config, index: int, world: World) -> World | None:
    """Notice a closed gate, claim it, and read the ledger's checkpoint."""
    if world.node.gate or world.checkers[index].phase != "idle":
        return None
    design = config.design
    if design.rewind_live and not world.ledger.stopped and world.live.image.epoch != world.ledger.at.epoch:
        return None  # it is armed first
    others = (checker.phase for at, checker in enumerate(world.checkers) if at != index)
    if _has_tried_enough(config, world) and any(phase != "idle" for phase in others):
        return None  # two that claim the gate in turn for ever are not modelled: the real ones wait
    token = 0
    if design.gate_claim:
        world, token = _token(config, world)
        world = world._replace(node=world.node._replace(claim=token))
    checker = Checker("look", token, world.ledger.at, back_to=world.ledger.at.n)
    return _set(world, index, checker if design.check else checker._replace(phase="open"))


def step(config: Config, index: int, world: World) -> World | None:
    """Take the next step of a comparison."""
    checker = world.checkers[index]
    if checker.phase in ("idle", "rewind"):
        return None
    return STEPS[checker.phase](config, index, world, checker)


def _bases(world: World, checker: Checker) -> dict[int, int]:
    return ledger.bases_before(world.ledger, checker.at.epoch)


def _look(config: Config, index: int, world: World, checker: Checker) -> World:
    """Tell a room the last base again and look at its contribution."""
    if checker.room == config.room_count:
        return _set(world, index, checker._replace(phase="oldest"))
    if config.design.set_back and world.ledger.at < checker.at:
        return _set(world, index, IDLE_CHECKER)
    bases, node = _bases(world, checker), world.node
    if config.design.fence_again and len(bases) > 1:
        last = max(base for base in world.ledger.bases if base.epoch in bases)
        node = rooms.fence(node, checker.room, last, config.design)
    world, contribution = world._replace(node=node), node.rooms[checker.room].contribution
    if config.design.revoke and ledger.revoked_above(contribution, bases) is not None:
        to = max(checker.at, world.ledger.at)
        return _set(world, index, checker._replace(phase="correct", contribution=contribution, to=to))
    if contribution.mark.n >= ledger.last_n(world.ledger, checker.room, config):
        return _set(world, index, checker._replace(room=checker.room + 1))
    behind = (*checker.behind, (checker.room, contribution.mark.n))
    return _set(world, index, checker._replace(room=checker.room + 1, behind=behind))


def _correct(config: Config, index: int, world: World, checker: Checker) -> World:
    if config.design.set_back and world.ledger.at < checker.to:
        return _set(world, index, IDLE_CHECKER)
    revoke_above = ledger.revoked_above(checker.contribution, _bases(world, checker))
    right = ledger.right_contribution(world.ledger, checker.room, checker.to, config)
    change = rooms.Correction(checker.contribution, checker.to, right, revoke_above, is_lost=True)
    node = rooms.correct(world.node, checker.room, change, config.design)
    nothing = IDLE_CHECKER
    checker = checker._replace(phase="look", contribution=nothing.contribution, to=nothing.to)
    if node is None:
        return _set(world, index, checker)
    return _set(world._replace(node=node), index, checker._replace(room=checker.room + 1))


def _read_oldest(config: Config, index: int, world: World, checker: Checker) -> World:
    """Read how far back the outbox reaches."""
    oldest = partition.reach(world.live.image, config.design)
    if oldest > checker.at.n and config.design.check_trim:
        # Entries that the ledger lacked at the comparison are gone already, or it was set back unnoticeably.
        incarnation = (world.live.image.epoch + 1, 0)
        return _set(
            world,
            index,
            checker._replace(phase="open", incarnation=incarnation) if world.ledger.stopped else IDLE_CHECKER,
        )
    back_to = max(min([checker.back_to, *(n for _, n in checker.behind if n >= oldest)]), oldest)
    behind = tuple((room, n) for room, n in checker.behind if n < oldest)
    return _set(world, index, checker._replace(phase="fill", back_to=back_to, behind=behind))


def _fill(config: Config, index: int, world: World, checker: Checker) -> World:
    """Correct a room that lacks entries which the outbox no longer has."""
    if not checker.behind:
        return _set(world, index, checker._replace(phase="rewind"))
    room, n = checker.behind[0]
    to = max(checker.at, world.ledger.at)
    contribution = world.node.rooms[room].contribution
    if contribution.mark.n == n:
        right = ledger.right_contribution(world.ledger, room, to, config)
        change = rooms.Correction(contribution, to, right, None, is_lost=True)
        node = rooms.correct(world.node, room, change, config.design)
        world = world._replace(node=node or world.node)
    return _set(world, index, checker._replace(behind=checker.behind[1:]))


def rewind(config: Config, index: int, world: World, *, is_old: bool) -> World | None:
    """Set the relays back; an aggregator with an outdated view of the cluster does that in the wrong Redis."""
    checker = world.checkers[index]
    process = process_of(world, is_old=is_old)
    if checker.phase != "rewind" or process is None or (is_old and _has_tried_enough(config, world)):
        return None
    if not config.design.rewind:
        return _set(world, index, checker._replace(phase="open"))
    if config.design.rewind_live and process.image.epoch != checker.at.epoch:
        if not world.ledger.stopped:
            return _set(world, index, IDLE_CHECKER)
        # None of its entries count before it is armed again, and then the rooms are compared.
        return _set(world, index, checker._replace(phase="open", incarnation=(process.image.epoch + 1, 0)))
    if config.design.check_trim and partition.reach(process.image, config.design) > checker.back_to:
        return _set(world, index, IDLE_CHECKER)
    image = partition.rewind(process.image, position_at(checker.back_to, _bases(world, checker)))
    world = with_process(world, process._replace(image=image), is_old=is_old)
    return _set(world, index, checker._replace(phase="open", incarnation=(image.epoch, image.generation)))


def _open(config: Config, index: int, world: World, checker: Checker) -> World:
    token = checker.token
    if not config.design.gate_claim:
        world, token = _token(config, world)
    node = rooms.open_gate(world.node, token, checker.incarnation, config.design)
    return _set(world._replace(node=node), index, IDLE_CHECKER)


STEPS: dict[str, Callable[[Config, int, World, Checker], World]] = {
    "look": _look,
    "correct": _correct,
    "oldest": _read_oldest,
    "fill": _fill,
    "open": _open,
}
