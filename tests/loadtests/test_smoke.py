"""Every benchmark and drill, the smallest run of it: it comes to its end and reports what a full run reports.

Says nothing about speed. The scenarios mostly wait, so two are run at a time, whichever tests are selected.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.__main__ import SUITE as BENCH
from loadtests.clients.flood import KINDS, STILL_OPEN
from loadtests.drills.__main__ import SUITE as DRILLS
from loadtests.drills.floods import LIMITS, QUIET
from loadtests.harness.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SUITES = {"bench": BENCH, "drills": DRILLS}
AT_ONCE = 2
RUN_TIMEOUT_S = 500.0  # on a machine that does much else; alone none takes longer than a minute
# Those that wait for the longest begin first, so that the others fit in beside them.
FIRST = ("drills floods", "drills aof-cut", "drills promotion")
ALL = [f"{suite} {name}" for suite in SUITES for name in SUITES[suite].scenarios]
SCENARIOS = [*FIRST, *(scenario for scenario in ALL if scenario not in FIRST)]
# Those whose figures are the same for each variant, of which a short run has a few.
WITH_VARIANTS = ("drills aof-cut", "drills promotion")
# Figures that a run has for each answer that came, and of which another run may have others.
BY_OUTCOME = re.compile(
    r"(: |answered )(accepted|duplicate|pending|not connected|connection lost|(rejected|unknown|error): \w+)$"
)
# Those of a phase that can be too short for a gift to be answered in it.
BY_CHANCE = re.compile(r"^(before|away|catching up|after): result latency")


@dataclass(frozen=True)
class Ran:
    """A scenario's exit code, what it printed, and its part of the figures' file."""

    exit_code: int
    said: str
    report: dict[str, Any]


class Runs:
    """The scenarios of the selected tests, started in order, two at a time."""

    def __init__(self, folder: Path, scenarios: list[str]) -> None:
        self._folder = folder
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._runs: dict[str, Future[Ran]] = {each: self._pool.submit(self._run, each) for each in scenarios}

    def of(self, scenario: str) -> Ran:
        return self._runs[scenario].result()

    def _run(self, scenario: str) -> Ran:
        suite, name = scenario.split()
        out = self._folder / f"{suite}-{name}.json"
        argv = [sys.executable, "-m", SUITES[suite].program, name, "--short", "--json", str(out)]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with self._lock:
            self._running.add(process)
        try:
            said, _ = process.communicate(timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # it stops what it has started
            said, _ = process.communicate()
        finally:
            with self._lock:
                self._running.discard(process)
        return Ran(process.returncode, said, json.loads(out.read_text())[name] if out.exists() else {})

    def close(self) -> None:
        for run in self._runs.values():
            run.cancel()
        with self._lock:
            for process in self._running:
                process.terminate()
        self._pool.shutdown()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    params = [getattr(item, "callspec").params for item in request.session.items if item.path == request.path]  # noqa: B009
    selected = {param["scenario"] for param in params}
    running = Runs(tmp_path_factory.mktemp("figures"), [each for each in SCENARIOS if each in selected])
    yield running
    running.close()


def figures(report: dict[str, Any], left_out: set[str]) -> Counter[str]:
    """How often each figure is there, without the numbers in its name, and without those of peers that are missing."""
    found: Counter[str] = Counter()
    for row in report["figures"]:
        name = row["what"]
        if not BY_OUTCOME.search(name) and not any(re.search(rf"(^|/ ){re.escape(peer)}\b", name) for peer in left_out):
            found[re.sub(r"\d[\d,.]*", "N", name)] += 1
    return found


def without_variants(found: Counter[str], variants: tuple[str, ...]) -> set[str]:
    """The kinds of figures of a drill that has them once for each variant."""
    return {name.partition(": ")[2] if name.startswith(variants) else name for name in found}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_smallest_run_reports_what_the_full_one_does(scenario: str, runs: Runs) -> None:
    suite, name = scenario.split()
    ran = runs.of(scenario)
    if shutil.which("cc") is None and "install a C compiler" in ran.said:
        pytest.skip("needs a C compiler (`cc`)")
    assert ran.exit_code == 0, ran.said
    left_out = {doubt.split(":")[0] for doubt in ran.report["doubts"] if "left out" in doubt}
    if shutil.which("node") and shutil.which("npm"):
        assert not any("not on PATH" in doubt for doubt in ran.report["doubts"])
    for row in ran.report["figures"]:
        assert isinstance(row["value"], int | float), row
    published = json.loads(SUITES[suite].published.read_text()).get(name)
    if scenario == "drills floods":
        check_floods(ran)
    elif scenario in WITH_VARIANTS:
        variants = tuple(f"{run['variant']}: " for report in (published, ran.report) for run in report["runs"])
        expected, found = (without_variants(figures(report, set()), variants) for report in (published, ran.report))
        assert found >= expected
    else:
        missing = figures(published, left_out) - figures(ran.report, left_out)
        assert not {each for each in missing if not BY_CHANCE.search(re.sub(r" \(N s\)", "", each))}, missing


def check_floods(ran: Ran) -> None:
    """Each flood was one, and its limit has stopped it: so says the web process, where it counts that."""
    found = {run["kind"]: run for run in ran.report["runs"]}
    assert list(found) == [QUIET, *KINDS] == [QUIET, *LIMITS]
    names = [row["what"] for row in ran.report["figures"]]
    assert [name for name in names if name.endswith(": stopped")] == [f"{kind}: stopped" for kind in KINDS]
    for kind, limit in LIMITS.items():
        run, flood = found[kind], found[kind]["flood"]
        assert run["gifts"] > 0, kind
        assert run["stopped"] >= 1, kind
        ends = {end for end in flood["ends"] if end != STILL_OPEN}
        assert all(end.startswith(limit.end) for end in ends), (kind, ends)
        if limit.event:
            assert run["refusals"][f"{limit.event}: {limit.reason}"] >= run["stopped"], (kind, run["refusals"])
    for kind, limit_s in (("half headers", 10.0), ("half bodies", 30.0)):
        flood = found[kind]["flood"]
        assert flood["ends"] == {"408": ran.report["setup"]["connections"]}, "all of them waited, none was let go early"
        assert flood["seconds"] >= limit_s, kind
        assert flood["bytes"] < 1024 * flood["connections"], "they have stopped in the middle"
