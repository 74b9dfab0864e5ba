"""`python -m tests.simulation`: the long run. Exits with status 1 when a schedule breaks an invariant."""

import argparse
import sys
import time
from collections.abc import Iterable

from tests.simulation.actions import actions
from tests.simulation.report import describe_violation, row, total
from tests.simulation.scenarios import LARGE, SCENARIOS
from tests.simulation.search import Result, Violation, explore, walk


def main(arguments: list[str] | None = None) -> int:
    """Explore the scenarios exhaustively, then draw schedules of the large ones at random."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first random schedule; each has the next one")
    parser.add_argument("--schedules", type=int, default=6_000, help="random schedules for each large scenario")
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--skip-exhaustive", action="store_true", help="random schedules only")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()

    def chosen(names: Iterable[str]) -> list[str]:
        return [name for name in names if options.only in name]

    exhaustive, drawn = Result(), Result()
    for name in [] if options.skip_exhaustive else chosen(SCENARIOS):
        result = explore(SCENARIOS[name])
        print(row(name, result), flush=True)
        exhaustive.add(result)
        _show(name, result.violation)
    for name in chosen(LARGE) if options.schedules else []:
        config = LARGE[name]
        result, steps = Result(), actions(config)
        for seed in range(options.seed, options.seed + options.schedules):
            found = walk(config, steps, seed)
            if found.violation and not result.violation:
                _show(name, found.violation)
            result.add(found)
        print(row(f"at random: {name}", result), flush=True)
        drawn.add(result)
    print(total(exhaustive, drawn, time.perf_counter() - begun))
    return 1 if exhaustive.violation or drawn.violation or not exhaustive.is_complete else 0


def _show(name: str, violation: Violation | None) -> None:
    if violation is not None:
        print(f"VIOLATION in '{name}': {describe_violation(violation)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
