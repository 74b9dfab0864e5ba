"""The index of benchmarks and drills: every scenario has its row, and every row its scenario."""

import re
from pathlib import Path

import pytest

from loadtests.bench.__main__ import SUITE as BENCH
from loadtests.drills.__main__ import SUITE as DRILLS
from loadtests.harness.suite import Suite

INDEX = Path(__file__).parents[2] / "loadtests" / "README.md"
SUITES = {"bench": BENCH, "drills": DRILLS}
COLUMNS = ["scenario", "what it answers", "command", "takes", "a good result", "beside it"]


def rows_of(suite: Suite) -> dict[str, dict[str, str]]:
    """The rows of the suite's section, by the scenario's name."""
    section = INDEX.read_text().split(f"\n## `python -m {suite.program}`")[1].split("\n## ")[0]
    head, _, *lines = [line for line in section.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == COLUMNS
    found = {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(COLUMNS), line
        row = dict(zip(COLUMNS, cells, strict=True))
        assert row["scenario"] not in found, "named twice"
        found[row["scenario"].strip("`")] = row
    return found


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_index_has_each_scenario_and_no_other(suite: Suite) -> None:
    assert list(rows_of(suite)) == list(suite.scenarios)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_row_says_everything(suite: Suite) -> None:
    for name, row in rows_of(suite).items():
        assert all(row.values()), row
        assert re.fullmatch(r"[1-9]\d* (s|min)", row["takes"]), row
        argv = row["command"].strip("`").split()
        assert argv[:3] == ["python", "-m", suite.program]
        assert list(suite.parse(argv[3:]).chosen) == [name]
        assert suite.parse(argv[3:]).figures == suite.published, "the command is a full run"


def test_commands_in_the_text_are_ones_that_work() -> None:
    block = INDEX.read_text().split("```sh\n")[1].split("```")[0]
    for line in block.splitlines():
        argv = line.split("#")[0].split()
        suite = {suite.program: suite for suite in SUITES.values()}[argv[2]]
        if argv[3:] != ["--help"]:
            assert suite.parse(argv[3:]).chosen
