"""What the docs name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_docs_exist(page: Path) -> None:
    text = page.read_text()
    links = {target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target}
    missing = [target for target in links if not (page.parent / target).exists()]
    folders = ("docs", "livegift", "client_demo", "loadtests", "tests")
    named = set(re.findall(rf"`((?:{'|'.join(folders)})/[\w./-]+)`", text))
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_make_targets_in_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", page.read_text())}
    assert named <= targets
