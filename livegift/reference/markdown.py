"""Markdown from values: tables whose cells are escaped, and pages that say where they come from."""

from collections.abc import Iterable, Sequence
from textwrap import fill

WIDTH = 120
NOTE = "<!-- Written by `make generate` from {source}: change it there. -->"


def cell(text: str) -> str:
    """Return `text` so that it stays in its cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: object) -> str:
    """Return `text` as code."""
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. A row has as many cells as the head."""
    lines = [head, ["---"] * len(head), *rows]
    assert all(len(line) == len(head) for line in lines), head  # noqa: S101 - a fault of this program
    return "".join(f"| {' | '.join(cell(text) for text in line)} |\n" for line in lines)


def prose(text: str) -> str:
    """Return `text` with its paragraphs filled; headings, tables and blocks of code stay as they are."""
    parts = text.strip("\n").split("\n\n")
    return "\n\n".join(part if part[0] in "#|`<-" else _filled(part) for part in parts)


def _filled(paragraph: str) -> str:
    return fill(" ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def page(title: str, source: str, *parts: str) -> str:
    """Return a page: its title, a comment that names its `source`, its parts with a blank line before each."""
    return "\n\n".join([f"# {title}", NOTE.format(source=source), *map(prose, parts)]) + "\n"
