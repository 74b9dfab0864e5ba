"""`python -m tests.faults --seeds 1-20 --operations 5000 --faults 50`: random faults, and a report of the results."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from tests.faults.checks import VIEW
from tests.faults.kinds import REGISTRY
from tests.faults.results import Options, Result
from tests.faults.runner import run_seeds

SHOWN = 10
NOT_JUDGED = 2


def parse_seeds(text: str) -> list[int]:
    """Parse `3`, `1-20` or `1,5,7-9`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def parse_kinds(text: str) -> tuple[str, ...]:
    """Parse names of kinds or of groups; after a minus sign, all but these."""
    names: set[str] = set()
    parts = text.split(",") if text else []
    if not parts or all(part.startswith("-") for part in parts):
        names = set(REGISTRY)
    for part in parts:
        found = {kind.name for kind in REGISTRY.values() if part.lstrip("-") in (kind.name, kind.group)}
        if not found:
            raise SystemExit(f"no kind or group {part.lstrip('-')!r}; there are {', '.join(REGISTRY)}")
        names = names - found if part.startswith("-") else names | found
    return tuple(name for name in REGISTRY if name in names)


def print_result(result: Result) -> None:
    print(
        f"seed {result.seed}: {result.operations} operations, {sum(result.faults.values())} faults, "
        f"{result.gifts} gifts ({result.matched} times matched by {result.matches} matches), "
        f"{result.unknown} unknown ({result.resolved} resolved), {result.lost} lost, "
        f"{result.deals} deals, {result.viewed} events seen, "
        f"{'NOT JUDGED' if result.late else f'{len(result.violations)} violations'}, "
        f"{result.seconds} s, {result.starved:.0%} of them short of CPU",
        flush=True,
    )
    print(f"    phases {result.phases}, rests {result.rests}")
    tell_lines("note", result.notes)
    tell_lines("VIOLATION", sorted(result.violations, key=lambda line: line.startswith(VIEW)))
    tell_lines("NOT IN TIME", result.late)
    tell_lines("not judged", result.unjudged)


def tell_lines(what: str, lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        print(f"    {what}: {line}")
    if len(lines) > SHOWN:
        print(f"    … and {len(lines) - SHOWN} more", flush=True)


def tell_totals(results: list[Result], seconds: float) -> None:
    faults: Counter[str] = sum((result.faults for result in results), Counter())
    answers: Counter[str] = sum((result.answers for result in results), Counter())
    print(f"seeds: {len(results)}, operations: {sum(r.operations for r in results)}, faults: {faults.total()}")
    for name, count in sorted(faults.items()):
        print(f"  {name}: {count}")
    for name, why in {name: why for result in results for name, why in result.skipped.items()}.items():
        print(f"  {name}: skipped, {why}")
    print(f"answers: {dict(answers.most_common())}")
    for what in ("orders", "payouts", "limits", "taken back"):
        sums: Counter[str] = sum((Counter(result.dealt.get(what, {})) for result in results), Counter())
        print(f"{what}: {dict(sums.most_common())}")
    print(
        f"gifts: {sum(r.gifts for r in results)}, unknown outcomes: {sum(r.unknown for r in results)}, "
        f"resolved: {sum(r.resolved for r in results)}, gifts lost with Redis' end: {sum(r.lost for r in results)}, "
        f"poison entries: {sum(r.poisoned for r in results)}"
    )
    bad = [result.seed for result in results if result.violations]
    wrong = [line for result in results for line in result.violations]
    of_views = sum(line.startswith(VIEW) for line in wrong)
    late = [result.seed for result in results if result.late]
    not_judged = f"; NOT JUDGED, as they did not come to rest in time: seeds {late}" if late else ""
    print(
        f"violations: {len(wrong) - of_views} of money, {of_views} of views{f' (seeds {bad})' if bad else ''}"
        f"{not_judged}; {seconds:.0f} s"
    )


def main() -> int:
    """Return 0 when everything is right, 1 when something is wrong, 2 when not every seed could be judged."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", "--seed", default=os.environ.get("FAULT_SEED", "1"), help="3, 1-20 or 1,5,7-9")
    parser.add_argument("--operations", type=int, default=5_000, help="per seed")
    parser.add_argument("--faults", type=int, default=50, help="per seed")
    parser.add_argument("--kinds", default="", help="names of kinds or groups; -name leaves one out")
    parser.add_argument("--json", type=Path, help="write everything here, too")
    parser.add_argument("--keep", type=Path, help="keep data and logs of each seed in this folder")
    options = parser.parse_args()
    began = time.monotonic()
    settings = Options(options.operations, options.faults, parse_kinds(options.kinds), options.keep)
    results = asyncio.run(run_seeds(parse_seeds(options.seeds), settings, print_result))
    seconds = time.monotonic() - began
    tell_totals(results, seconds)
    if options.json:
        rows = [result.as_json() for result in results]
        options.json.write_text(json.dumps({"seconds": round(seconds, 1), "seeds": rows}, indent=1, default=str))
    if any(result.violations for result in results):
        return 1
    return NOT_JUDGED if any(result.late for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
