from dataclasses import replace

import pytest

from tests.simulation.actions import Kind, actions
from tests.simulation.report import describe_violation
from tests.simulation.scenarios import LARGE, MUTANTS, REDUNDANT, SCENARIOS, SMALL, mutant
from tests.simulation.search import Result, explore, walk
from tests.simulation.state import Config, Design, World, start

RANDOM_SCHEDULES = 30
SLOW_MUTANTS = {
    "repaired and armed without being disarmed",
    "diverged entries stay",
    "no fence after a room's restart",
    "one fence per room",
    "relays are set back in any Redis",
    "rooms are corrected by a ledger that was set back",
    "the gate opens without a claim",
    "outboxes don't know their holes",
    "cursors know generations without epochs",
}


def assert_holds(result: Result) -> None:
    assert result.violation is None, describe_violation(result.violation)
    assert result.is_complete


@pytest.mark.parametrize("name", SMALL)
def test_no_schedule_of_a_small_scenario_breaks_an_invariant(name: str) -> None:
    result = explore(SMALL[name])
    assert_holds(result)
    assert result.schedules >= result.rests > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in SMALL])
def test_no_schedule_of_any_scenario_breaks_an_invariant(name: str) -> None:
    assert_holds(explore(SCENARIOS[name]))


@pytest.mark.parametrize("name", LARGE)
def test_random_schedules_of_the_large_scenarios_break_no_invariant(name: str) -> None:
    steps, result = actions(LARGE[name]), Result()
    for seed in range(RANDOM_SCHEDULES):
        result.add(walk(LARGE[name], steps, seed))
    assert_holds(result)
    assert result.rests == RANDOM_SCHEDULES


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_MUTANTS else name for name in MUTANTS]
)
def test_a_mechanism_that_is_left_out_is_noticed(name: str) -> None:
    result = explore(mutant(name))
    assert result.violation is not None
    assert result.violation.labels


@pytest.mark.parametrize("name", REDUNDANT)
def test_a_mechanism_that_others_make_redundant_is_not_noticed(name: str) -> None:
    assert_holds(explore(replace(SMALL["one gift, two armers"], design=replace(Design(), **REDUNDANT[name]))))


def test_a_violation_comes_with_the_shortest_schedule() -> None:
    violation = explore(mutant("no barrier")).violation
    assert violation is not None
    assert violation.labels == [
        "a client sends ref 0",
        "booker 0: read",
        "booker 0: commit",
        "fault crash",
        "armer 0: begin",
    ]
    text = describe_violation(violation)
    assert "Redis has lost 1 entries" in text
    assert all(label in text for label in violation.labels)


def test_a_random_schedule_is_reproducible() -> None:
    config = LARGE["everything crashes"]
    first, again, other = (walk(config, actions(config), seed) for seed in (5, 5, 6))
    assert (first.steps, first.faults) == (again.steps, again.faults)
    assert (first.steps, first.faults) != (other.steps, other.faults)


def test_random_schedules_find_what_is_left_out() -> None:
    config = replace(LARGE["everything crashes"], design=Design(guard="none", revoke=False))
    steps = actions(config)
    assert any(walk(config, steps, seed).violation for seed in range(200))


def test_schedules_are_counted_as_paths() -> None:
    # One gift, no faults: few enough to be run one by one.
    config = Config(users=(0,), rooms=(0,), sends=1, faults=0, kinds=frozenset(), armers=0, checkers=0)
    result = explore(config)
    assert_holds(result)
    assert result.schedules == _count_one_by_one(config)


def _count_one_by_one(config: Config) -> int:
    steps = actions(config)

    def paths(world: World) -> int:
        after = [(action, then) for action in steps if (then := action.run(world)) is not None]
        is_resting = all(action.kind is not Kind.WORK for action, _ in after)
        return is_resting + sum(paths(then) for _, then in after)

    return paths(start(config))
