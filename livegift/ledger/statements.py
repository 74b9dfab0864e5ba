"""Statements of SQL from annotated files: one beside each module that has some, read once when it is imported.

A file has named statements, each under its head; `{name}` in one stands for a part:

    -- name: contributions
    -- What each partition has given to a room.
    SELECT partition, sum(coins) AS coins FROM ({room_gifts}) g GROUP BY partition

    -- part: room_gifts
    SELECT partition, coins FROM gifts WHERE room = :room

Values are bound parameters only; parts are our own text.
"""

import re
import sys
from collections.abc import Mapping
from inspect import get_annotations
from pathlib import Path
from typing import Literal, NamedTuple

from sqlalchemy import TextClause, text

_HEAD = re.compile(r"-- (name|part): (\w+)")
_PART = re.compile(r"\{(\w+)\}")


class StatementsError(Exception):
    """A file and the class that reads it do not fit. The message names the file, and what is wrong in it."""


class Section(NamedTuple):
    """What stands under a head: a statement, or a part of some."""

    kind: Literal["name", "part"]
    sql: str


class Statements:
    """The base of a class whose annotations are the statements of a file.

    `class _Sql(Statements, file="audit.sql")` reads the file beside the class's module. An attribute annotated with
    TextClause can be executed; one with str is text, in which `{…}` may be left for its module to fill, or a part that
    other modules use as well. `parts` are parts from elsewhere. Raises StatementsError for a name that only the file or
    only the class has, one that the file has twice, and a part that nothing uses or that is not there.
    """

    def __init_subclass__(cls, file: str, parts: Mapping[str, str] | None = None) -> None:
        """Read the file and set the attributes."""
        module = sys.modules[cls.__module__]
        path = Path(str(module.__file__)).with_name(file)
        sections = parse(path.read_text(), file)
        wanted = get_annotations(cls)
        shared = {name for name, kind in wanted.items() if kind is str}
        names = {name for name, section in sections.items() if section.kind == "name" or name in shared}
        if names != wanted.keys():
            raise StatementsError(f"{file}: expected exactly {sorted(wanted)}, got {sorted(names)}")
        known = {name: section.sql for name, section in sections.items() if section.kind == "part"} | dict(parts or {})
        used: set[str] = set()
        for name, kind in wanted.items():
            sql = _with_parts(sections[name].sql, known, used)
            left = _PART.findall(sql)
            if kind is TextClause and left:
                raise StatementsError(f"{file}: {name} uses the parts {left}, which are not there")
            setattr(cls, name, text(sql) if kind is TextClause else sql)
        if unused := known.keys() - used:
            raise StatementsError(f"{file}: no statement uses the parts {sorted(unused)}")


def _with_parts(sql: str, known: Mapping[str, str], used: set[str]) -> str:
    """Return `sql` with its parts, and theirs, in their places; adds their names to `used`."""

    def part(found: re.Match[str]) -> str:
        name = found[1]
        if name not in known:
            return found[0]
        used.add(name)
        return _with_parts(known[name], known, used)

    return _PART.sub(part, sql)


def parse(content: str, file: str) -> dict[str, Section]:
    """Return a file's sections by their names, without comments. Raises StatementsError."""
    found: dict[str, Section] = {}
    name, kind, lines = "", "", list[str]()

    def end() -> None:
        if name:
            found[name] = Section("part" if kind == "part" else "name", "\n".join(lines).strip())

    for line in content.splitlines():
        head = _HEAD.fullmatch(line)
        if head:
            end()
            kind, name, lines = head[1], head[2], []
            if name in found:
                raise StatementsError(f"{file}: expected each name once, got {name} twice")
        elif not line.lstrip().startswith("--"):
            if not name and line.strip():
                raise StatementsError(f"{file}: expected '-- name: …' before any SQL, got {line[:40]!r}")
            lines.append(line)
    end()
    return found
