"""Statements in files: each has a name, once, and somebody who uses it. No long one is left in Python."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import TextClause

import livegift
from livegift.ledger.statements import Statements, StatementsError

GOOD = """-- What the tests ask.

-- name: shares
-- A comment with a :colon.
SELECT sum(coins) FROM ({gifts}) g
-- another
WHERE n <= :n

-- part: gifts
SELECT coins, n FROM {table} WHERE room = :room

-- name: template
SELECT {columns} FROM gifts
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = ModuleType("of_a_test")
    made.__file__ = str(tmp_path / "module.py")
    monkeypatch.setitem(sys.modules, "of_a_test", made)
    return "of_a_test"


def declare(module: str, folder: Path, sql: str, names: dict[str, type], **parts: str) -> Any:
    (folder / "queries.sql").write_text(sql)
    body = {"__module__": module, "__annotations__": names}
    return type("_Sql", (Statements,), body, file="queries.sql", parts=parts)


BOTH: dict[str, type] = {"shares": TextClause, "template": str}


def test_statements_come_with_their_parts(module: str, tmp_path: Path) -> None:
    made = declare(module, tmp_path, GOOD, BOTH, table="gifts")
    shares = "SELECT sum(coins) FROM (SELECT coins, n FROM gifts WHERE room = :room) g WHERE n <= :n"
    assert " ".join(str(made.shares).split()) == shares
    assert made.template == "SELECT {columns} FROM gifts"


def test_a_part_can_be_had_by_other_modules_as_well(module: str, tmp_path: Path) -> None:
    made = declare(module, tmp_path, GOOD, {**BOTH, "gifts": str}, table="gifts")
    assert made.gifts == "SELECT coins, n FROM gifts WHERE room = :room"
    assert made.gifts in str(made.shares)


@pytest.mark.parametrize(
    ("sql", "names", "parts", "message"),
    [
        (GOOD, {"shares": TextClause}, {"table": "gifts"}, "expected exactly"),
        (GOOD, {**BOTH, "more": TextClause}, {"table": "gifts"}, "expected exactly"),
        (GOOD, {**BOTH, "gifts": TextClause}, {"table": "gifts"}, "expected exactly"),
        (GOOD, BOTH, {}, "shares uses the parts"),
        (GOOD, BOTH, {"table": "gifts", "other": "x"}, "no statement uses the parts"),
        (GOOD + "-- name: shares\nSELECT 1\n", BOTH, {"table": "gifts"}, "got shares twice"),
        ("SELECT 1\n" + GOOD, BOTH, {"table": "gifts"}, "before any SQL"),
    ],
    ids=["unused", "unknown", "a part is no statement", "no part", "unused part", "twice", "without a name"],
)
def test_what_does_not_fit_fails_at_once(
    module: str, tmp_path: Path, sql: str, names: dict[str, type], parts: dict[str, str], message: str
) -> None:
    with pytest.raises(StatementsError, match=message):
        declare(module, tmp_path, sql, names, **parts)


PACKAGE = Path(livegift.__file__).parent


def test_each_file_is_read_by_the_module_that_its_first_line_names() -> None:
    files = list(PACKAGE.rglob("*.sql"))
    assert files
    for path in files:
        reader = path.read_text().partition("-- Read by ")[2].partition(";")[0]
        assert f'(Statements, file="{path.name}"' in (path.parent / reader).read_text(), path


def test_no_statement_cuts_text_by_a_length() -> None:
    """Ids are taken out of refs by what separates them: a length says neither what is cut off nor that it is there."""
    assert [path for path in PACKAGE.rglob("*.sql") if re.search(r"\bsubstr", path.read_text(), re.IGNORECASE)] == []


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the syntax tree of each module by its path. Migrations keep what they were."""
    for path in PACKAGE.rglob("*.py"):
        if "migrations" not in path.parts:
            yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def unused(tree: ast.Module) -> list[str]:
    """The statements that the module's classes declare and nothing in it executes."""
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return [
        f"{found.name}.{line.target.id}"
        for found in ast.walk(tree)
        if isinstance(found, ast.ClassDef)
        and any(isinstance(b, ast.Name) and b.id == "Statements" for b in found.bases)
        for line in found.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if f"{found.name}.{line.target.id}" not in used
    ]


def test_each_statement_is_used() -> None:
    """Its file and its class have the same names: see above."""
    assert {path: names for path, tree in modules() if (names := unused(tree))} == {}
    tree = ast.parse("class _Sql(Statements, file='x.sql'):\n    one: TextClause\n    two: TextClause\nrun(_Sql.two)\n")
    assert unused(tree) == ["_Sql.one"]


# Words that only SQL has in capital letters, and with what follows: HTTP has a DELETE as well.
_SQL = re.compile(r"\b(SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|WITH|FROM|JOIN|WHERE|UNION|VALUES|RETURNING|SET)\b")


def _text(node: ast.AST) -> str:
    """The constant text of a string, with `{}` for the values of an f-string, and of strings that are added up."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) or "{}" for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case _:
            return ""


def long_statements(tree: ast.Module) -> list[int]:
    """The lines of a module at which a string of SQL begins that goes on over several lines."""
    seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    found = []
    for node in ast.walk(tree):
        if id(node) in seen or not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            continue
        text = _text(node)
        if (node.end_lineno != node.lineno or "\n" in text) and _SQL.search(text):
            found.append(node.lineno)
            seen |= {id(inner) for inner in ast.walk(node)}
    return found


def test_no_long_statement_is_left_in_python() -> None:
    """SQL longer than a line stands in a file beside its module, under its name."""
    assert {path: lines for path, tree in modules() if (lines := long_statements(tree))} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""UPDATE of\nthe docs."""\nx = """SELECT n\nFROM gifts"""', [3]),
        ('x = text(\n    "SELECT n "\n    "FROM gifts"\n)', [2]),
        ('x = text(\n    f"UPDATE {table} "\n    f"SET n = 1"\n)', [2]),
        ('x = (\n    "DELETE FROM "\n    + table\n    + " WHERE n = 1"\n)', [2]),
        ('x = "WITH a AS (SELECT 1)\\nTABLE a"', [1]),
        ('x = text("SELECT n FROM gifts")\ny = ("GET", "PUT",\n    "DELETE")', []),
        ('x = (\n    "Select what comes from where, "\n    "or update it."\n)', []),
        ('def x():\n    """INSERT INTO\n    nothing."""\n', []),
    ],
    ids=["quoted", "concatenated", "formatted", "added", "escaped", "of one line", "prose", "docstring"],
)
def test_long_statements_are_found(source: str, lines: list[int]) -> None:
    assert long_statements(ast.parse(source)) == lines
