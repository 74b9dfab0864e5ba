"""A feature can be deleted, with those that need it: its folder and its line in the list, and nothing else.

`livegift.composition` is the only place that names features, so what is left is a system of the other ones.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import livegift
from livegift import composition
from livegift.cli.main import cli
from livegift.composition import make_settings
from livegift.runtime.settings import variables_of
from tests.conftest import COMMON, migrated

ROOT = Path(livegift.__file__).parents[1]
PACKAGES = ROOT / "livegift" / "features"
IMPORT = re.compile(r"^\s*from livegift\.features\.(\w+)", re.MULTILINE)


def needed_by(feature: str) -> set[str]:
    """The other features that `feature` uses."""
    used = {name for path in (PACKAGES / feature).rglob("*.py") for name in IMPORT.findall(path.read_text())}
    return used & set(FEATURES) - {feature}


FEATURES = sorted(path.parent.name for path in PACKAGES.glob("*/feature.py"))
NEEDS = {feature: needed_by(feature) for feature in FEATURES}
NEEDED = set[str]().union(*NEEDS.values())

# One adds a step to every booking and legs to the audit, the other reasons and revoked gifts.
WITH_A_STEP, WITH_A_TABLE = "sponsors", "corrections"


def going_with(feature: str) -> set[str]:
    """Return the feature and those that can't be without it."""
    gone = {feature}
    while more := {other for other, needs in NEEDS.items() if needs & gone} - gone:
        gone |= more
    return gone


def without(features: set[str], folder: Path) -> Path:
    """A copy of the package in `folder` that does not have `features`."""
    shutil.copytree(ROOT / "livegift", folder / "livegift", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "livegift" / "client_demo").symlink_to(ROOT / "client_demo")  # as an installed package has it
    composition = folder / "livegift" / "composition.py"
    lines = composition.read_text().splitlines(keepends=True)
    for feature in features:
        shutil.rmtree(folder / "livegift" / "features" / feature)
        lines.remove(f'    "{feature}",\n')
    composition.write_text("".join(lines))
    return folder


def run(folder: Path, *argv: str, code: int = 0, **environ: str) -> str:
    """What `python argv…` prints with the copy in `folder` as `livegift`, and exits with `code`."""
    env = {**os.environ, **environ, "PYTHONPATH": str(folder)}  # before the checkout, which has the tests
    done = subprocess.run(
        [sys.executable, *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


PARTS = """
import sys
import livegift
from livegift import composition
from livegift.processes import app
from livegift.store import functions

assert livegift.__file__.startswith(sys.argv[1]), livegift.__file__
settings = composition.make_settings(redis_url="redis://127.0.0.1:1", database_url="postgresql://127.0.0.1:1/none")
app.create_app(settings, with_demo=True)
composition.booking_plan()
print(*composition.audit_plan().statements)
print(len(app.entries(with_demo=True)))
"""


def test_features_need_each_other_in_no_circle() -> None:
    left = dict(NEEDS)
    while left:
        free = {feature for feature in left if not any(feature in needs for needs in left.values())}
        assert free, f"a circle among {sorted(left)}"
        left = {feature: needs for feature, needs in left.items() if feature not in free}


def test_those_that_others_need_are_known() -> None:
    # Each of them is the ground of a few others, by its `public.py`.
    assert {"earnings", "grants", "orders", "spending_limits"} == NEEDED
    assert going_with("earnings") == {"earnings", "payouts", "corrections", "orders", "catalogue"}


def commands_of(*features: str) -> set[str]:
    """The commands of `livegift` that features have."""
    modules = [f"livegift.features.{feature}.cli" for feature in features]
    return {command.name for module in modules if find_spec(module) for command in import_module(module).COMMANDS}


ERRORS_PAGE = "from livegift.reference import errors; print(errors.write())"
ROOM_PARTS = "from livegift.processes.app import event_kinds; print(*event_kinds().parts)"
NO_STORES = {"LIVEGIFT_REDIS_URL": "redis://127.0.0.1:1", "LIVEGIFT_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
# Commands of three features, how they exit without stores, and what they say then.
CALLS = {
    "gifts": (("load", "empty"), 2, "expected 1 to 10000 gifts, got 0"),
    "grant": (("--file", "empty"), 2, "expected the columns user,coins,ref"),
    "reconcile": (("--provider", "bank"), 1, "expected one of no provider at all, got bank"),
}


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_goes_and_the_rest_is_whole(feature: str, tmp_path: Path) -> None:
    gone = going_with(feature)
    folder = without(gone, tmp_path)
    assert run(folder, "-c", PARTS, str(folder)).split()
    linter = Path(sys.executable).with_name("lint-imports")
    assert "0 broken" in run(folder, str(linter), "--no-cache")

    shown = run(folder, "-m", "livegift", "--help").partition("Commands:\n")[2]
    assert set(re.findall(r"^  (\w+)", shown, re.MULTILINE)) == set(cli.commands) - commands_of(*gone)
    codes = set(re.findall(r"^\| `(\w+)` \| \d+ \|", run(folder, "-c", ERRORS_PAGE), re.MULTILINE))
    own = {kind.code for each in composition.features() if each.name in gone for kind in each.errors}
    assert codes == set(composition.errors()) - own

    parts = {part.name for each in composition.features() if each.name not in gone for part in each.room}
    assert set(run(folder, "-c", ROOM_PARTS).split()) == parts

    (folder / "empty").write_text("[]")
    for command in CALLS.keys() - commands_of(*gone):
        argv, code, complaint = CALLS[command]
        assert complaint in run(folder, "-m", "livegift", command, *argv, code=code, **NO_STORES)


@pytest.mark.parametrize("command", sorted(commands_of(*FEATURES)))
def test_the_command_line_has_each_command_of_a_feature_once(command: str) -> None:
    assert [each.name for each in composition.cli_commands()].count(command) == 1
    assert command in cli.commands


GIFT = """
import asyncio
from livegift.composition import load_settings
from tests.inprocess import InProcess

async def main():
    async with InProcess(load_settings()) as system:
        await system.open_room("lobby", "bob")
        await system.grant("alice", 100)
        await system.gift("alice", "lobby", "bob", "rose", "r1")
        report = await system.audit()
        assert report.passed, report.to_text()
        print("booked:", next(check.compared for check in report.checks if check.number == 5))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("feature", [WITH_A_STEP, WITH_A_TABLE])
def test_without_a_feature_a_gift_is_booked_and_the_audit_passes(
    feature: str, tmp_path: Path, redis_url: str, database_url: str
) -> None:
    settings = migrated(make_settings(redis_url=redis_url, database_url=database_url, **COMMON))
    folder = without({feature}, tmp_path)
    # The aggregator's log is on standard output, too, and can have a line of its end after this one.
    assert "booked: 1" in run(folder, "-c", GIFT, **variables_of(settings)).splitlines()
