"""`make bench`: what the machine's cores buy, measured on private systems, peers beside them in the same run.

    python -m loadtests.bench [MODE…] (see --help; without one: all)

Prints a table and writes docs/benchmarks: latest.json, where a mode that was not run keeps its last figures, each with
the time, the machine and how busy that was. Medians of the repetitions, all of which are in the file.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from loadtests.bench.aggregator import aggregator
from loadtests.bench.burst import burst
from loadtests.bench.fan_out import fan_out
from loadtests.bench.gifts_in import gifts_in
from loadtests.bench.idle import idle
from loadtests.bench.quiet_room import quiet_room
from loadtests.bench.relay import relay
from loadtests.bench.storm import storm
from loadtests.bench.web_processes import web_processes
from loadtests.harness import report
from loadtests.harness.measure import machine
from loadtests.harness.processes import ROOT, LoadTestError, exit_on_sigterm
from loadtests.harness.results import Result, table
from loadtests.harness.stack import Stack

LATEST = ROOT / "docs" / "benchmarks" / "latest.json"
FILES_WANTED = 65_536
FILES_SPARE = 500  # beside the idle connections
INTERRUPTED = 130  # 128 + SIGINT, as shells say it

TITLES = {
    "gifts-in": "gifts accepted by one web process (debit in Redis, reply)",
    "fan-out": "one room, 1,000 viewers, a frame for each event",
    "burst": "one room, 1,000 viewers, thousands of gifts a second",
    "quiet-room": "a quiet room: how long until the others see a gift",
    "processes": "one room, 1,000 viewers, on one web process and on more",
    "storm": "one room, 1,000 viewers come back at once",
    "relay": "gifts brought to their rooms by one relay",
    "aggregator": "gifts booked in PostgreSQL by one aggregator",
    "idle": "idle connections of one web process",
}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modes", nargs="*", default=["all"], metavar="MODE", help=f"{', '.join(TITLES)} or all")
    parser.add_argument("--rounds", type=int, default=2, help="repetitions (of each peer, in turn)")
    parser.add_argument("--seconds", type=float, default=5.0, help="gifts-in: measured interval of each repetition")
    parser.add_argument("--gifts", type=int, default=100_000, help="aggregator: gifts of each repetition")
    parser.add_argument("--samples", type=int, default=200, help="quiet-room: gifts")
    parser.add_argument("--connections", type=int, default=10_000, help="idle: connections")
    parser.add_argument("--json", type=Path, default=LATEST, help="where the figures go")
    given = parser.parse_args()
    unknown = set(given.modes) - {*TITLES, "all"}
    if unknown:
        parser.error(f"expected {', '.join(TITLES)} or all, got {', '.join(sorted(unknown))}")
    if "all" in given.modes:
        given.modes = list(TITLES)
    return given


def raise_files_limit(wanted: int) -> None:
    """Allow this process, and those it starts, so many open files. Raises LoadTestError when the system does not."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted + FILES_SPARE:
        raise LoadTestError(f"{wanted} connections need more open files than `ulimit -Hn` = {hard} allows")


def write(path: Path, mode: str, result: Result, facts: dict[str, object]) -> None:
    """Put one mode's figures into the file, beside those of the others."""
    known = json.loads(path.read_text()) if path.exists() else {}
    rows = [asdict(row) for row in result.rows]
    known[mode] = {
        "title": TITLES[mode],
        "machine": facts,
        "setup": result.setup,
        "figures": rows,
        "doubts": result.doubts,
        "runs": result.runs,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = {name: known[name] for name in TITLES if name in known}
    path.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")


def versions() -> tuple[str, str]:
    """Of the Redis and PostgreSQL that every mode will start."""
    with Stack() as stack:
        return stack.versions()


def main() -> int:
    """Run the modes; the exit code."""
    given = arguments()
    exit_on_sigterm()
    work: dict[str, Callable[[], Result]] = {
        "gifts-in": lambda: gifts_in(given.rounds, given.seconds),
        "fan-out": lambda: fan_out(given.rounds, given.seconds),
        "burst": lambda: burst(given.rounds, given.seconds),
        "quiet-room": lambda: quiet_room(given.samples),
        "processes": lambda: web_processes(given.rounds, given.seconds),
        "storm": lambda: storm(given.rounds),
        "relay": lambda: relay(given.rounds, given.gifts),
        "aggregator": lambda: aggregator(given.rounds, given.gifts),
        "idle": lambda: idle(given.rounds, given.connections),
    }
    failed = []
    try:
        raise_files_limit(given.connections if "idle" in given.modes else 0)
        found = versions()
        for mode in given.modes:
            facts, since = machine(*found), time.monotonic()
            print(f"{mode} … (load average before it: {facts['load_average_1m']})", flush=True)
            try:
                result = work[mode]()
            except LoadTestError as error:
                print(f"FAILED {mode}: {error}", file=sys.stderr)
                failed.append(mode)
                continue
            write(given.json, mode, result, facts)
            print(f"{table(TITLES[mode], result)}\n  took {time.monotonic() - since:.0f} s\n", flush=True)
    except LoadTestError as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    report.write(given.json.parent)
    print(f"written to {given.json}, with its page and picture")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
