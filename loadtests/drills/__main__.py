"""Failures under load, measured and repeatable: what viewers notice, what is lost, how long it takes.

    python -m loadtests.drills NAME… [--short] [--json FILE]

Every drill starts private servers and processes, so it needs nothing and leaves nothing behind. It prints a table and
writes docs/benchmarks/drills.json, where drills that were not run keep their last figures. Exit code 0 only when every
audit of the drill passed. What the figures mean for an operator is in docs/durability.md.
"""

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.drills.aggregator_lag import aggregator_lag
from loadtests.drills.aof_cut import VARIANTS, aof_cut
from loadtests.drills.audit_million import audit_million
from loadtests.drills.durability_cost import durability_cost
from loadtests.drills.floods import floods
from loadtests.drills.ledger_away import ledger_away
from loadtests.drills.one_room import one_room
from loadtests.drills.promotion import promotion
from loadtests.drills.redis_full import redis_full
from loadtests.drills.redis_restart import redis_restart
from loadtests.drills.rolling_restart import rolling_restart
from loadtests.drills.stalled_readers import stalled_readers
from loadtests.harness import report
from loadtests.harness.measure import machine
from loadtests.harness.processes import ROOT, LoadTestError, exit_on_sigterm
from loadtests.harness.results import Result, table
from loadtests.harness.stack import Stack

LATEST = ROOT / "docs" / "benchmarks" / "drills.json"
INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill: its title, how long it takes, and the work."""

    title: str
    run: Callable[[argparse.Namespace], Result]


DRILLS = {
    "ledger-away": Drill(
        "PostgreSQL stopped under load, then started",
        lambda given: ledger_away(given.rate or 1000, *((4, 8) if given.short else (20, given.away_s))),
    ),
    "aof-cut": Drill(
        "Redis lost: killed, its last second cut off, or replaced by its replica",
        lambda given: aof_cut(given.variants, given.rate or 1000, given.cut_s, 3 if given.short else 6),
    ),
    "promotion": Drill(
        "A primary of a cluster dies, its replica lags and is promoted",
        lambda given: promotion(given.rate or 500, given.cut_s, 4 if given.short else 10),
    ),
    "floods": Drill(
        "One connection sends all it can, another viewer sends gifts",
        lambda given: floods(5 if given.short else 15),
    ),
    "redis-full": Drill(
        "Redis' memory fills up",
        lambda given: redis_full(given.rate or 1000, *((25, 5) if given.short else (60, 8))),
    ),
    "audit-million": Drill(
        "`livegift audit` of a large ledger",
        lambda given: audit_million(20_000 if given.short else 1_000_000, given.rate or 500),
    ),
    "aggregator": Drill(
        "How far the ledger is behind",
        lambda given: aggregator_lag(given.rate or 5000, *((5, 20_000) if given.short else (20, 100_000))),
    ),
    "one-room": Drill(
        "One room, 1,000 viewers, everything running",
        lambda given: one_room(given.rate or 1000, 5 if given.short else 15),
    ),
    "stalled-readers": Drill(
        "200 viewers of a busy room read nothing for two minutes",
        lambda given: stalled_readers(given.rate or 1000, *((20, 10) if given.short else (200, 120))),
    ),
    "redis-restart": Drill(
        "Redis is killed under 1,000 viewers and started again",
        lambda given: redis_restart(given.rate or 500, 3 if given.short else 8),
    ),
    "rolling-restart": Drill(
        "Web processes are restarted one after the other under load",
        lambda given: rolling_restart(given.rate or 200, 50 if given.short else 500),
    ),
    "durability-cost": Drill(
        "What each LIVEGIFT_DURABILITY costs",
        lambda given: durability_cost(given.rate or 500, *((5, 1) if given.short else (15, 2))),
    ),
}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.drills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"{', '.join(DRILLS)} or all")
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes: does it work at all?")
    parser.add_argument("--rate", type=float, help="gifts per second")
    parser.add_argument("--away-s", type=float, default=120.0, help="ledger-away: how long PostgreSQL is stopped")
    parser.add_argument("--cut-s", type=float, default=1.0, help="aof-cut, promotion: how much of the end is lost")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="VARIANT", choices=VARIANTS,
                        help=f"aof-cut: {', '.join(map(repr, VARIANTS))}")  # fmt: skip
    parser.add_argument("--json", type=Path, default=LATEST, help="where the figures go")
    given = parser.parse_args()
    unknown = set(given.names) - {*DRILLS, "all"}
    if unknown:
        parser.error(f"expected {', '.join(DRILLS)} or all, got {', '.join(sorted(unknown))}")
    if "all" in given.names:
        given.names = list(DRILLS)
    return given


def write(path: Path, name: str, result: Result, facts: dict[str, object]) -> None:
    """Put one drill's figures into the file, beside those of the others."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = {
        "title": DRILLS[name].title,
        "command": f"python -m loadtests.drills {shlex.join(_told())}",
        "machine": facts,
        "setup": result.setup,
        "figures": [asdict(row) for row in result.rows],
        "doubts": result.doubts,
        "runs": result.runs,
    }
    ordered = {each: known[each] for each in DRILLS if each in known}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_on_few_lines(json.dumps(ordered, indent=1, ensure_ascii=False)) + "\n")


def _told() -> list[str]:
    """The arguments but for where the figures go."""
    given = sys.argv[1:]
    at = given.index("--json") if "--json" in given else len(given)
    return given[:at] + given[at + 2 :]


def _on_few_lines(text: str) -> str:
    """A line for each point of a curve, not one for each of its numbers."""
    return re.sub(r"\{[^{}\[\]]*\}", lambda found: " ".join(found[0].split()), text)


class Idle:
    """How much of the cores nobody used from its making on: what else ran here (Linux; else None)."""

    def __init__(self) -> None:
        """Begins to count."""
        self._before = self._ticks()

    @staticmethod
    def _ticks() -> tuple[int, int]:
        try:
            ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except OSError:
            return 0, 0
        return ticks[3] + ticks[4], sum(ticks)  # idle and waiting for disks, see proc(5)

    def share(self) -> float | None:
        """0 to 1."""
        idle, total = (after - before for after, before in zip(self._ticks(), self._before, strict=True))
        return round(idle / total, 3) if total else None


def has_passed(result: Result) -> bool:
    """Whether every figure that is to be 0 is 0."""
    return all(row.value == 0 for row in result.rows if row.target == "0")


def main() -> int:
    """Run the drills; the exit code."""
    given = arguments()
    exit_on_sigterm()
    failed = []
    try:
        with Stack() as stack:
            versions = stack.versions()
        for name in given.names:
            facts, idle, since = machine(*versions), Idle(), time.monotonic()
            print(f"{name} … (load average before it: {facts['load_average_1m']})", flush=True)
            try:
                result = DRILLS[name].run(given)
            except LoadTestError as error:
                print(f"FAILED {name}: {error}", file=sys.stderr)
                failed.append(name)
                continue
            write(given.json, name, result, {**facts, "idle_share_meanwhile": idle.share()})
            print(f"{table(DRILLS[name].title, result)}\n  took {time.monotonic() - since:.0f} s\n", flush=True)
            if not has_passed(result):
                print(f"FAILED {name}: a figure that is to be 0 is not", file=sys.stderr)
                failed.append(name)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    report.write(given.json.parent)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
