"""The table of access: who may ask each route and command, and at what cost, as lines that a review can compare.

`python -m tests.access_table` writes `access_table.txt` anew.
"""

from collections.abc import Iterable
from pathlib import Path

from livegift.http.routing import Entry
from livegift.processes.app import commands, entries
from livegift.runtime.access import Rule

FILE = Path(__file__).with_name("access_table.txt")
ROUTES: dict[tuple[str, str], Entry] = {(entry.method, entry.path): entry for entry in entries(with_demo=True)}
COMMANDS = {kind: command.rule for kind, command in commands().by_type.items()}


def _roles(rule: Rule) -> str:
    return "anybody" if rule.roles is None else " ".join(sorted(rule.roles))


def _rows() -> Iterable[tuple[str, ...]]:
    yield "method", "path or command", "roles", "rooms", "rate"
    for (method, path), entry in sorted(ROUTES.items(), key=lambda item: (item[0][1], item[0][0])):
        yield method, path, _roles(entry.rule), _rooms(entry.rule), entry.rate.name
    for command, rule in sorted(COMMANDS.items()):
        yield "command", command, _roles(rule), _rooms(rule), "-"


def _rooms(rule: Rule) -> str:
    return "-" if rule.is_public else rule.scope.name


def table() -> str:
    """Return the table as the code has it now."""
    rows = list(_rows())
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(table())
