"""Schedules and counts as text."""

from tests.simulation.search import Result, Violation
from tests.simulation.state import World


def describe(world: World) -> str:
    """Return a state on one line."""
    image, node = world.live.image, world.node
    outbox = " ".join(f"{entry.at}:{entry.ref}" for entry in image.outbox)
    parts = [f"Redis {image.epoch}-{image.n} [{outbox}]"]
    parts.append(f"armed {world.live.armed}" if world.live.armed else "disarmed")
    parts.append(f"relayed {image.relayed} in {image.generation}")
    if world.old is not None:
        old = world.old.image
        parts.append(f"old {old.epoch}-{old.n} [{' '.join(f'{e.at}:{e.ref}' for e in old.outbox)}]")
    parts.append(f"ledger {world.ledger.at}")
    for index, room in enumerate(node.rooms):
        counted = " ".join(f"{entry.at}:{entry.ref}" for entry in room.counted)
        parts.append(f"room {index} {room.mark} [{counted}] told {room.epoch}:{room.seq}")
    parts.append(f"gate {node.gate}" if node.gate else "gate closed")
    waiting = [f"{i}:{' '.join(str(e.at) for e in relay.queue)}" for i, relay in enumerate(world.relays) if relay.queue]
    if waiting:
        parts.append(f"queued {', '.join(waiting)}")
    return " | ".join(parts)


def _name(label: str, before: World) -> str:
    """Return a step's label; the world decides which step of an arming or a comparison is next."""
    worker, _, what = label.partition(": ")
    if what != "next step":
        return label
    role, index = worker.split()
    phase = (before.armers if role == "armer" else before.checkers)[int(index)].phase
    return f"{worker}: {phase}"


def describe_violation(violation: Violation) -> str:
    """Return the schedule that led to a violation, one step per line."""
    seed = "" if violation.seed is None else f" (seed {violation.seed})"
    lines = [f"{violation.message}{seed}, after {len(violation.labels)} steps:"]
    for at, label in enumerate(violation.labels):
        before, after = violation.worlds[at : at + 2]
        lines += [f"  {at + 1:3}. {_name(label, before)}", f"       {describe(after)}"]
    return "\n".join(lines)


def row(name: str, result: Result) -> str:
    """Return what one search has covered, on one line."""
    faults = " ".join(f"{kind}:{count}" for kind, count in sorted(result.faults.items()))
    states = f"{result.states:,} states" if result.states else ""
    unfinished = "" if result.is_complete else " UNFINISHED"
    counts = f"{number(result.schedules):>9} schedules {states:>16} {result.steps:11,} steps {result.seconds:6.1f} s"
    return f"{name:62} {counts}  {faults}{unfinished}"


def total(exhaustive: Result, drawn: Result, seconds: float) -> str:
    """Return what all searches have covered."""
    lines = []
    if exhaustive.states:
        per_minute = number(exhaustive.schedules / exhaustive.seconds * 60)
        lines += [
            f"exhaustive: {number(exhaustive.schedules)} schedules ({per_minute} per minute) pass through",
            f"  {exhaustive.states:,} distinct states by {exhaustive.steps:,} distinct steps, each checked once;",
            f"  {exhaustive.rests:,} of the states are states of rest ({exhaustive.seconds:.0f} s)",
        ]
    if drawn.schedules:
        per_minute = number(drawn.schedules / drawn.seconds * 60)
        lines += [
            f"at random: {drawn.schedules:,} schedules ({per_minute} per minute), run one by one",
            f"  with {drawn.steps:,} steps, each checked ({drawn.seconds:.0f} s)",
        ]
    faults = exhaustive.faults + drawn.faults
    lines.append("faults among the steps: " + ", ".join(f"{faults[kind]:,} {kind}" for kind in sorted(faults)))
    lines.append(
        f"{'VIOLATED' if exhaustive.violation or drawn.violation else 'all invariants hold'} ({seconds:.0f} s)"
    )
    return "\n".join(lines)


def number(value: float) -> str:
    """Format a number for people, also a very large one."""
    return f"{value:,.0f}" if value < 10_000_000 else f"{value:.2e}"
