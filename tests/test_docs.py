"""What the docs name exists."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from livegift.features.slots import Feature

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_docs_exist(page: Path) -> None:
    text = page.read_text()
    links = {target for target in LINK.findall(text) if "://" not in target}
    missing = [target for target in links if not (page.parent / target).exists()]
    folders = ("docs", "livegift", "client_demo", "loadtests", "tests")
    named = set(re.findall(rf"`((?:{'|'.join(folders)})/[\w./-]+)`", text))
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_each_page_is_in_the_site_and_its_links_stay_there() -> None:
    docs = ROOT / "docs"
    nav = set(re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    assert nav == {str(page.relative_to(docs)) for page in docs.glob("**/*.md")}
    for page in docs.glob("**/*.md"):
        targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
        assert [target for target in targets if not (page.parent / target).resolve().is_relative_to(docs)] == [], page


def test_each_decision_is_listed() -> None:
    listed = set(LINK.findall((ROOT / "docs/decisions/index.md").read_text()))
    assert listed == {page.name for page in ROOT.glob("docs/decisions/0*.md")}


def test_make_targets_in_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", page.read_text())}
    assert named <= targets


def test_the_architecture_names_each_package_and_each_slot() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    tree = text.partition("\nlivegift/\n")[2].partition("\nclient_demo/")[0]
    packages = {path.parent.name for path in (ROOT / "livegift").glob("*/__init__.py")}
    assert set(re.findall(r"^  (\w+)/", tree, re.MULTILINE)) == packages
    slots = {slot.name for slot in fields(Feature)} - {"name", "on_start"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == slots
