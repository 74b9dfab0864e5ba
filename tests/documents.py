"""The documentation as tests read it: pages, code blocks, what stands in backticks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), ROOT / "loadtests" / "README.md"])
# What was true when it was written: names in it may be gone.
HISTORY = {ROOT / "CHANGELOG.md", *DOCS.glob("decisions/*.md"), DOCS / "benchmarks" / "README.md"}
# Pages that show commands which a reader types, in this order, on the system of the quick start.
# What the one about features has written is done in a copy of the checkout (tests/test_guide_to_features.py).
FEATURE_GUIDE = DOCS / "guides" / "add-a-feature.md"
GUIDES = [DOCS / "quick-start.md", *sorted(set(DOCS.glob("guides/*.md")) - {FEATURE_GUIDE})]
LINK = re.compile(r"\]\(([^)#\s]+)")
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"^(?:#|//) ([\w./-]+\.\w+)\n")


class Block(NamedTuple):
    """A code block: its language, its text, and the line it begins in."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the text is to be saved as: its first line names it in a comment."""
        found = _FILE.match(self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        """Where it is, for the names of tests."""
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """Return the page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """Yield the page's code blocks, only those in `languages` where these are given."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        lines = (each.removeprefix(found[1]) for each in found[3].splitlines(keepends=True))
        if not languages or found[2] in languages:
            yield Block(page, line, found[2], "".join(lines))


def spans(page: Path) -> set[str]:
    """Return what stands in backticks, each on one line."""
    text = _FENCE.sub("", page.read_text())
    return {" ".join(found.split()) for found in _SPAN.findall(text)}


def commands(page: Path) -> Iterator[str]:
    """Yield what is typed or could be: the lines of shell blocks without their prompts, and what is in backticks."""
    for block in blocks(page, "sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.language == "sh" or line.startswith("$ "):
                yield line.removeprefix("$ ").partition(" #")[0]
    yield from spans(page)
