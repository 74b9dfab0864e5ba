"""Statements in files: each has a name, once, and somebody who uses it."""

import sys
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


def test_each_file_is_read_by_the_module_that_its_first_line_names() -> None:
    package = Path(livegift.__file__).parent
    files = list(package.rglob("*.sql"))
    assert files
    for path in files:
        reader = path.read_text().partition("-- Read by ")[2].partition(";")[0]
        assert f'(Statements, file="{path.name}"' in (path.parent / reader).read_text(), path
