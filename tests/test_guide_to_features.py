"""docs/guides/add-a-feature.md works: what it says is done in a copy of this checkout, then that copy is tested."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from livegift.ledger import schema
from tests.documents import FEATURE_GUIDE, ROOT, blocks

STEP_TIMEOUT_S = 400
COPIED = ("livegift", "tests", "client_demo", "docs", "loadtests", "pyproject.toml", "Makefile", "zensical.toml")
# What the guide has its reader call at the end. The guide's own code is formatted as it stands.
CALLS = (
    ("ruff", "format", "--check", "livegift", "tests/test_polls.py"),
    ("ruff", "check", "--fix", "livegift", "tests/test_polls.py"),
    ("tests.access_table",),
    ("livegift.store.functions.generate",),
    ("livegift.reference",),
    ("pytest", "-q", "-x", "tests/test_polls.py", "tests/test_reference.py", "tests/ledger/test_schema.py"),
    ("pytest", "-q", "-x", "tests/test_access.py", "-k", "review or route"),
    ("pytest", "-q", "-x", "tests/test_fuzzed_requests.py", "-k", "poll or knows or generated"),
    ("pytest", "-q", "-x", "tests/hub/test_feature_events.py"),
    ("pytest", "-q", "-x", "tests/test_features_go.py", "-k", "polls"),
    ("mypy", "-p", "livegift.features.polls"),
)


def numbered(text: str) -> str:
    """Return `text` with the numbers that migrations have today, which the guide can't know."""
    newest = int(schema.VERSION)
    return text.replace("0016", f"{newest + 1:04}").replace("0015", f"{newest:04}")


def edited(text: str, change: str) -> str:
    """Return `text` after a change: lines with `+` go behind the line before them, or take the place of one with `-`.

    Raises AssertionError for a line that is not there, or not once.
    """
    anchor = ""
    for line in change.splitlines()[1:]:
        mark, content = line[0], line[1:]
        if mark == "+":
            text = text.replace(f"{anchor}\n", f"{anchor}\n{content}\n", 1)
            anchor = content
            continue
        assert len(re.findall(f"^{re.escape(content)}$", text, re.MULTILINE)) == 1, f"expected one line {content!r}"
        anchor = content
        if mark == "-":
            text = text.replace(f"{content}\n", "\0\n", 1)
            anchor = "\0"
    return text.replace("\0\n", "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This checkout, without what git ignores."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "node_modules")
    for name in COPIED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(path, tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_stranger_who_follows_the_guide_has_a_feature_that_works(copy: Path) -> None:
    for block in blocks(FEATURE_GUIDE, "python", "diff"):
        text = numbered(block.text)
        if block.language == "diff":
            path = copy / text.splitlines()[0].removeprefix("--- ")
            path.write_text(edited(path.read_text(), text))
        else:
            assert block.file, f"{block}: expected a comment that names the file"
            path = copy / numbered(block.file)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text.partition("\n")[2])
    for call in CALLS:
        done = subprocess.run(
            [sys.executable, "-m", *call], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(call)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert "poll.vote" in (copy / "tests/access_table.txt").read_text()
    reference = copy / "docs" / "reference"
    assert "LIVEGIFT_POLL_OPTIONS_MAX" in (reference / "settings.md").read_text()
    assert "livegift_poll_votes_total" in (reference / "metrics.md").read_text()
    assert "`poll.vote`" in (reference / "protocol.md").read_text()
    assert "`poll_is_open`" in (reference / "errors.md").read_text()


def test_a_change_goes_where_it_says() -> None:
    assert edited("a\nb\nc\n", "--- x\n b\n+new\n") == "a\nb\nnew\nc\n"
    assert edited("a\nb\nc\n", "--- x\n-b\n+new\n") == "a\nnew\nc\n"
    with pytest.raises(AssertionError, match="expected one line 'z'"):
        edited("a\n", "--- x\n z\n+new\n")
