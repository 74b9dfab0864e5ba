"""Search: exhaustive, visiting each state once, and at random."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.actions import Action, Kind, actions
from tests.simulation.invariants import Found, check_always, check_rest
from tests.simulation.state import Config, World, start

# In a schedule drawn at random some actions are slow: these, and faults, are skipped more often than not.
SLOW_SHARE = 0.25
RARE_CHANCE = 0.2
UNREST_STEPS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Violation:
    """A violation, and the steps that lead to it, with the world before the first and after each."""

    message: str
    labels: list[str]
    worlds: list[World]
    seed: int | None = None


@dataclass(slots=True)
class Result:
    """The result of a search. `explore` says how schedules are counted; `is_complete`: no state is left."""

    states: int = 0
    steps: int = 0
    schedules: int = 0
    rests: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    violation: Violation | None = None
    is_complete: bool = True

    def add(self, other: "Result") -> None:
        """Add the counts of another search."""
        self.states += other.states
        self.steps += other.steps
        self.schedules += other.schedules
        self.rests += other.rests
        self.seconds += other.seconds
        self.faults += other.faults
        self.violation = self.violation or other.violation
        self.is_complete = self.is_complete and other.is_complete


class _Graph:
    """The states found, numbered in that order, and the steps between them."""

    def __init__(self, config: Config) -> None:
        first = start(config)
        self.worlds = [first]
        self.edges: list[list[int]] = []
        self.rests: list[int] = []
        self._ids = {first: 0}
        self._parents = [(-1, "")]

    def expand(self, at: int, steps: tuple[Action, ...], faults: Counter[str]) -> bool:
        """Find the states one step after state `at`. Returns whether the system is at rest in it."""
        world, after, is_resting = self.worlds[at], [], True
        for action in steps:
            then = action.run(world)
            if then is None:
                continue
            if action.kind is Kind.WORK:
                is_resting = False
            elif action.kind is Kind.FAULT:
                faults[action.label.split()[1]] += 1
            known = self._ids.setdefault(then, len(self.worlds))
            if known == len(self.worlds):
                self.worlds.append(then)
                self._parents.append((at, action.label))
            after.append(known)
        self.edges.append(after)
        if is_resting:
            self.rests.append(at)
        return is_resting

    def trace(self, message: str, at: int) -> Violation:
        """Return the shortest schedule that leads to a state."""
        labels, passed = [], [self.worlds[at]]
        while at:
            at, label = self._parents[at]
            labels.append(label)
            passed.append(self.worlds[at])
        return Violation(message, labels[::-1], passed[::-1])

    def count(self) -> int:
        """Return the number of paths from the first state to those of rest. Raises ValueError when there is a cycle."""
        before = [0] * len(self.edges)
        for after in self.edges:
            for state in after:
                before[state] += 1
        paths = [1] + [0] * (len(self.edges) - 1)
        ready, done = [0], 0
        while ready:
            state = ready.pop()
            done += 1
            for then in self.edges[state]:
                paths[then] += paths[state]
                before[then] -= 1
                if before[then] == 0:
                    ready.append(then)
        if done < len(self.edges):
            raise ValueError(f"expected no cycles, but {len(self.edges) - done} states are on one or behind one")
        return sum(paths[state] for state in self.rests)


def explore(config: Config, states_max: int = 2_000_000) -> Result:
    """Visit every state that any schedule can reach, nearest first, up to the first violation.

    A schedule is a sequence of steps from the start to a state of rest, one in which only clients, chance or faults
    could continue. Two schedules differ when their steps or the order of their steps do. They are not run one by one:
    each state that any of them passes is visited and checked once. No step leads back to an earlier state, so the
    states are a graph without cycles, and the number of paths to a state is the sum of those to the states before it.
    """
    begun, result, steps, graph = time.perf_counter(), Result(), actions(config), _Graph(config)
    at = 0
    while at < len(graph.worlds) <= states_max:
        is_resting = graph.expand(at, steps, result.faults)
        world = graph.worlds[at]
        found = check_always(world, config) or (check_rest(world, config) if is_resting else None)
        if found:
            result.violation = graph.trace(found, at)
            break
        at += 1
    result.is_complete = at == len(graph.worlds)
    result.states, result.steps, result.rests = len(graph.worlds), sum(map(len, graph.edges)), len(graph.rests)
    if result.is_complete:
        result.schedules = graph.count()
    result.seconds = time.perf_counter() - begun
    return result


def walk(config: Config, steps: tuple[Action, ...], seed: int, length: int = 80) -> Result:
    """Run one schedule: `length` of the `steps` at random, then work until the system rests. Every state is checked.

    Some actions are slow, different ones for each seed: drawn evenly every time, a worker would hardly ever fall
    behind.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
    slow = {action.label for action in steps if rng.random() < SLOW_SHARE}
    work = tuple(action for action in steps if action.kind is Kind.WORK)
    result, world, begun = Result(schedules=1), start(config), time.perf_counter()
    labels: list[str] = []
    worlds, found = [world], check_always(world, config)
    while not found:
        chosen = _draw(rng, steps, world, slow) if result.steps < length else None
        chosen = chosen or _draw(rng, work, world, set())
        if chosen is None:
            result.rests = 1
            found = check_rest(world, config)
            break
        action, world = chosen
        result.steps += 1
        labels.append(action.label)
        worlds.append(world)
        if action.kind is Kind.FAULT:
            result.faults[action.label.split()[1]] += 1
        found = check_always(world, config) or _check_length(result.steps, length)
    if found:
        result.violation = Violation(found, labels, worlds, seed)
    result.seconds = time.perf_counter() - begun
    return result


def _check_length(steps: int, length: int) -> Found:
    return "the system does not come to rest" if steps > length + UNREST_STEPS_MAX else None


def _draw(rng: random.Random, steps: tuple[Action, ...], world: World, slow: set[str]) -> tuple[Action, World] | None:
    left = list(steps)
    while left:
        at = int(rng.random() * len(left))
        action = left[at]
        left[at] = left[-1]
        left.pop()
        if (action.kind is Kind.FAULT or action.label in slow) and rng.random() > RARE_CHANCE:
            continue
        then = action.run(world)
        if then is not None:
            return action, then
    return None
