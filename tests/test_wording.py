"""The project's own texts use the words of the glossary, and English that nobody stumbles over."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import DOCS, PAGES, ROOT

# What was written once and read badly, with what to write instead. Matched without regard to case and line ends.
REPLACED = {
    r"four eyes": "dual control",
    r"\b(?:too )?dear(?:er|est)? gifts?|\btoo[ -]dear\b": "expensive",
    r"\btold without\b": "say what is left out",
    r"\b(?:who|that|many|all) looks? on\b|\blooking on\b|\blooks? on at\b": "viewers, or: watch",
    r"\bfor the asking\b": "free",
    r"\b(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|less\b|one\b)\w+": "is not a …",
    r"\banew\b": "again, or: from the start",
    r"\bthe (?:next|last) (?:\w+ )?but one\b": "the one after the next, the one before the last",
    r"\bmore needed\b": "you need … more",
    r"\bfor want of\b": "because there is no …",
    r"\bthat are no (?!longer\b)\w+": "that are not …",
    r"\bnot so deep\b": "less deeply",
    r"\bwhatever comes of it\b": "whatever the outcome",
    r"\bin its stead\b": "instead",
    r"\bnobody yet\b": "none yet",
    r"\bwhat it takes to\b": "say what it is",
}
SOURCES = [
    *(path for path in PAGES if path != DOCS / "glossary.md"),
    *(ROOT / "livegift").rglob("*.py"),
    *(ROOT / "livegift").rglob("*.lua"),
    *(path for path in ROOT.glob("client_demo/*") if path.suffix in {".js", ".html"}),
]
_COMMENT = re.compile(r"\n\s*(?:#|//|--|\*)? ?")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield each source with its lines joined, so that a phrase is found across them."""
    for path in SOURCES:
        yield path, " ".join(_COMMENT.sub(" ", path.read_text()).split())


@pytest.mark.parametrize("pattern", REPLACED)
def test_a_phrase_that_was_replaced_does_not_come_back(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: …{text[max(0, match.start() - 40) : match.end() + 40]}…"
        for path, text in texts()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert not found, f"write {REPLACED[pattern]}"


def docstrings() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "livegift").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(node)
                if said:
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", said


def test_a_docstring_says_what_is_returned() -> None:
    """As an imperative: "Return whether …", not "Whether …"."""
    assert [place for place, said in docstrings() if re.match(r"(?:Whether|If) ", said)] == []


def test_the_glossary_has_each_word_once() -> None:
    words = re.findall(r"^\| ([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    named = [word for word in words if word not in {"word", "---"}]
    assert named
    assert len(named) == len(set(named))
