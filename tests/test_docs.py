"""What the docs name exists."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import click
import pytest

from livegift import composition
from livegift.cli.main import cli
from livegift.features.slots import Feature
from livegift.ledger.tables import metadata
from livegift.reference import metrics, settings
from livegift.store.functions import VERSION, leases, partitions, rooms, wallets
from livegift.store.functions.signature import FUNCTIONS
from tests.documents import DOCS, HISTORY, LINK, PAGES, ROOT, blocks, commands, name, spans

FOLDERS = ("docs", "livegift", "client_demo", "loadtests", "tests", ".ci")
DECLARED = (leases, partitions, rooms, wallets)  # importing them fills FUNCTIONS
CURRENT = [page for page in PAGES if page not in HISTORY]
each_page = pytest.mark.parametrize("page", PAGES, ids=name)
each_current_page = pytest.mark.parametrize("page", CURRENT, ids=name)


# --- Links and paths --------------------------------------------------------------------------------------------------


@each_page
def test_paths_in_docs_exist(page: Path) -> None:
    text = page.read_text()
    missing = [target for target in LINK.findall(text) if "://" not in target and not (page.parent / target).exists()]
    named = set(re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+)`", text))
    missing += [path for path in named if not (ROOT / path).exists()]
    assert not missing


def test_files_that_the_code_names_exist() -> None:
    sources = [each for end in ("py", "lua", "sql") for each in (ROOT / "livegift").rglob(f"*.{end}")]
    known = {f"/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")}
    named = {
        (name(source), path)
        for source in sources
        for path in re.findall(r"[`(\s]((?:[a-z_]\w*/)+[\w-]+\.(?:py|lua|sql|md|js))\b", source.read_text())
    }
    assert len(named) > 10, "the pattern finds them"
    assert {(where, path) for where, path in named if not any(each.endswith(f"/{path}") for each in known)} == set()


def test_each_page_is_in_the_site_and_its_links_stay_there() -> None:
    nav = set(re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    assert nav == {str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md")}
    for page in DOCS.glob("**/*.md"):
        targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
        assert [target for target in targets if not (page.parent / target).resolve().is_relative_to(DOCS)] == [], page


def test_each_decision_is_listed() -> None:
    listed = set(LINK.findall((DOCS / "decisions/index.md").read_text()))
    assert listed == {page.name for page in DOCS.glob("decisions/0*.md")}


# --- Names in the code ------------------------------------------------------------------------------------------------


@cache
def packages() -> frozenset[str]:
    return frozenset(path.parent.name for path in (ROOT / "livegift").glob("*/__init__.py")) | {"composition"}


@cache
def source() -> str:
    """All that can hold a log event, a message's type or a field as a literal."""
    files = [*(ROOT / "livegift").rglob("*.py"), *(ROOT / "livegift").rglob("*.lua"), *ROOT.glob("client_demo/*.js")]
    return "\n".join(path.read_text() for path in files)


@cache
def files() -> frozenset[str]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*"))
    return frozenset(path.name for path in (*found, *ROOT.glob("*.*")))


def is_column(dotted: str) -> bool:
    composition.features()  # they declare their tables
    table, _, column = dotted.partition(".")
    return table in metadata.tables and column in metadata.tables[table].columns


def is_python(dotted: str) -> bool:
    """Whether it is a module of this project, or something in one; `package.name` can also be an object's attribute."""
    words = dotted.split(".")
    if words[0] in packages():
        texts = (path.read_text() for path in (ROOT / "livegift" / words[0]).rglob("*.py"))
        if any(f"self.{words[-1]} = " in text for text in texts):
            return True
        words.insert(0, "livegift")
    for length in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:length]))
        except ImportError:
            continue
        for word in words[length:]:
            if not hasattr(found, word):
                return False
            found = getattr(found, word)
        return True
    return False


@each_current_page
def test_dotted_names_are_modules_log_events_or_types_of_messages(page: Path) -> None:
    """A closed world: whatever has a dot between two words is something that this project knows."""
    dotted = {span for span in spans(page) if re.fullmatch(r"[a-z_]+(?:\.[a-zA-Z_]+)+", span)}
    to_be_saved = {block.file for block in blocks(page)}
    unknown = {
        each
        for each in dotted - files() - to_be_saved
        if f'"{each}"' not in source() and not is_python(each) and not is_column(each)
    }
    assert not unknown


@each_current_page
def test_settings_exist(page: Path) -> None:
    known = {f"LIVEGIFT_{field.upper()}" for model in settings.models() for field in model.__struct_fields__}
    named = set(re.findall(r"\bLIVEGIFT_[A-Z0-9_]+", page.read_text())) - known
    in_tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("*.py"))
    assert {each for each in named if f'"{each}"' not in in_tests} == set()


@each_current_page
def test_metrics_exist(page: Path) -> None:
    known = {metrics.exposed_name(metric) for metric in metrics.collectors()}
    assert {span for span in spans(page) if re.fullmatch(r"livegift_[a-z_]+", span)} <= known


@each_current_page
def test_redis_functions_exist(page: Path) -> None:
    named = {span for span in spans(page) if re.fullmatch(rf"[a-z_]+_{VERSION}", span)}
    assert {each.removesuffix(f"_{VERSION}") for each in named} <= set(FUNCTIONS)


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_make_targets_in_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for line in commands(page) for target in re.findall(r"^make ([a-z-]+)", line)}
    assert named
    assert named <= targets


def called(line: str) -> Iterator[tuple[click.Command, list[str]]]:
    """Yield the commands that a line calls, each with the words after it. Raises KeyError for one that there is not."""
    for part in re.split(r"[;&]|(?<= )\|(?= )|\$\(|\)", line):
        words = part.replace(".venv/bin/", "").replace("\\|", "|").split()
        if not words or words[0] != "livegift" or len(words) == 1 or not re.fullmatch(r"[a-z|]+", words[1]):
            continue
        found: list[click.Command] = [cli]
        rest = words[1:]
        while rest and all(isinstance(each, click.Group) for each in found) and re.fullmatch(r"[a-z|]+", rest[0]):
            found = [each.commands[word] for each in found for word in rest[0].split("|")]  # type: ignore[attr-defined]
            rest = rest[1:]
        yield from ((each, rest) for each in found)


@each_current_page
def test_commands_and_their_options_exist(page: Path) -> None:
    for line in commands(page):
        for command, rest in called(line):
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            given = {word.strip("[]").partition("=")[0] for word in rest if word.strip("[]").startswith("--")}
            assert given <= known, line


@pytest.mark.parametrize("line", ["livegift dance", "livegift payouts export|dance", "x; livegift partition dance 1"])
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises(KeyError):
        list(called(line))


# --- The architecture -------------------------------------------------------------------------------------------------


def test_the_architecture_names_each_package_and_each_slot() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    tree = text.partition("\nlivegift/\n")[2].partition("\nclient_demo/")[0]
    found = {path.parent.name for path in (ROOT / "livegift").glob("*/__init__.py")}
    assert set(re.findall(r"^  (\w+)/", tree, re.MULTILINE)) == found
    slots = {slot.name for slot in fields(Feature)} - {"name", "on_start"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == slots
