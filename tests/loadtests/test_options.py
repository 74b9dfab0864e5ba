"""The command lines of benchmarks and drills: typed options, each with a full and a short value."""

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from loadtests.bench.__main__ import SUITE as BENCH
from loadtests.bench.fan_out import FanOut
from loadtests.bench.gifts_in import GiftsIn
from loadtests.drills.__main__ import SUITE as DRILLS
from loadtests.drills.aof_cut import SHORT_VARIANTS, VARIANTS, AofCut
from loadtests.harness import options
from loadtests.harness.results import Result, Row
from loadtests.harness.suite import Scenario, Suite

SUITES = {"bench": BENCH, "drills": DRILLS}


def test_an_option_has_its_type_and_the_others_their_full_values() -> None:
    command = BENCH.parse(["fan-out", "--seconds", "2", "--viewers", "50"])
    assert command.chosen == {"fan-out": FanOut(rounds=2, seconds=2.0, viewers=50)}


def test_options_go_to_each_scenario_that_has_them_and_win_over_short() -> None:
    command = BENCH.parse(["--short", "fan-out", "gifts-in", "--seconds", "2", "--viewers", "50"])
    assert command.chosen["fan-out"] == FanOut(rounds=1, seconds=2.0, viewers=50)
    assert isinstance(command.chosen["gifts-in"], GiftsIn)
    assert command.chosen["gifts-in"].seconds == 2.0


def test_several_values_of_one_option() -> None:
    assert DRILLS.parse(["aof-cut"]).chosen["aof-cut"].variants == VARIANTS
    assert DRILLS.parse(["--short", "aof-cut"]).chosen["aof-cut"].variants == SHORT_VARIANTS
    command = DRILLS.parse(["aof-cut", "--variants", "none cut", "fsync power"])
    assert command.chosen == {"aof-cut": AofCut(variants=("none cut", "fsync power"))}


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_without_a_name_all_are_run(suite: Suite) -> None:
    assert list(suite.parse(["--short"]).chosen) == list(suite.scenarios) == list(suite.parse(["all"]).chosen)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_short_run_takes_no_more_than_a_full_one(suite: Suite) -> None:
    for name, scenario in suite.scenarios.items():
        short, full = (options.build(scenario.options, {}, is_short=is_short) for is_short in (True, False))
        assert "{" not in scenario.titled(short) + scenario.titled(full)
        for declared in fields(scenario.options):
            values = getattr(short, declared.name), getattr(full, declared.name)
            if isinstance(values[0], tuple):
                assert set(values[0]) <= set(values[1]), (name, declared.name)
            elif declared.name != "gifts_per_s":
                assert values[0] <= values[1], (name, declared.name)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_only_a_full_run_replaces_what_is_published(suite: Suite) -> None:
    name = next(iter(suite.scenarios))
    assert suite.parse([name]).figures == suite.published
    assert suite.parse([name, "--short"]).figures is None
    assert suite.parse([name, "--rounds" if suite is BENCH else "--rate", "1"]).figures is None
    assert suite.parse([name, "--short", "--json", "own.json"]).figures == Path("own.json")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nothing"], "expected gifts-in, fan-out"),
        (["fan-out", "--connections", "5"], "--connections is an option of gifts-in, idle"),
        (["fan-out", "--seconds", "0"], "--seconds: expected a number above zero, got 0.0"),
        (["fan-out", "--viewers", "many"], "argument --viewers: invalid int value: 'many'"),
        (["relay", "--gifts", "10"], "--gifts: expected 1000 or more, got 10"),
        (["fan-out", "--sizes", "5"], "unrecognized arguments: --sizes 5"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        BENCH.parse(argv)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_a_choice_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        DRILLS.parse(["aof-cut", "--variants", "none burnt"])
    assert "--variants: expected some of 'none killed'" in capsys.readouterr().err


def test_help_tells_both_values_of_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        BENCH.parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "fan-out: viewers of the room (default 1,000, short 30)" in said


@dataclass(frozen=True)
class Own:
    size: int = options.number(5, short=1, about="how much")


@pytest.mark.parametrize(("violations", "exit_code"), [(0, 0), (1, 1)])
def test_a_figure_that_is_to_be_0_decides(tmp_path: Path, violations: int, exit_code: int) -> None:
    def run(chosen: Own) -> Result:
        return Result([Row("violations", violations, "", "0"), Row("size", chosen.size, "")], {}, [])

    suite = Suite("loadtests.own", "", {"one": Scenario("of {size}", Own, run)}, tmp_path / "published.json")
    out = tmp_path / "out.json"
    assert suite.main(["--short", "--json", str(out)]) == exit_code
    assert '"title": "of 1"' in out.read_text()
    assert '"command": "python -m loadtests.own --short"' in out.read_text()
    assert not suite.published.exists()
