"""Markdown from values: tables whose cells are escaped, and pages that say where they come from."""

from collections.abc import Iterable, Sequence

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


def page(title: str, source: str, *parts: str) -> str:
    """Return a page: its title, a comment that names its `source`, its parts with a blank line before each."""
    return "\n\n".join([f"# {title}", NOTE.format(source=source), *(part.strip("\n") for part in parts)]) + "\n"
