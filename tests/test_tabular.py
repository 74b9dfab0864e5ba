"""Tables in files: read as spreadsheets save them, written so that spreadsheets change nothing."""

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.errors import RequestError
from livegift.runtime.tabular import read_rows, write_rows

ROWS = [{"user": "ann", "coins": "5", "ref": "r-1"}, {"user": "zoë", "coins": "7", "ref": "r-2"}]
COLUMNS = ("user", "coins", "ref")


def saved(delimiter: str, encoding: str, *, head: str = "user,coins,ref", end: str = "\r\n") -> bytes:
    lines = [head, *(",".join(row.values()) for row in ROWS), ",,", ""]
    return end.join(line.replace(",", delimiter) for line in lines).encode(encoding)


def rows_of(data: bytes) -> list[dict[str, str]]:
    return [row for _, row in read_rows(data, COLUMNS)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("head", ["user,coins,ref", "User , COINS,ref"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_are_read_as_spreadsheets_save_them(delimiter: str, encoding: str, head: str, end: str) -> None:
    assert rows_of(saved(delimiter, encoding, head=head, end=end)) == ROWS


def test_a_cell_may_hold_what_other_programs_take_for_the_end_of_a_line() -> None:
    rows: list[dict[str, str | int]] = [{"user": "a\u2028b", "coins": 1, "ref": "c\u0085d"}]
    assert rows_of(write_rows(COLUMNS, iter_of(rows))) == [{"user": "a\u2028b", "coins": "1", "ref": "c\u0085d"}]


def test_columns_stand_in_any_order_beside_others_and_after_a_line_for_one_program() -> None:
    assert rows_of(b"sep=;\r\nref;note;coins;user\r\nr-1;hello;5;ann\r\n") == ROWS[:1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1: expected the columns user,coins,ref"),
        (b"user,coins\nann,5\n", "line 1: expected the columns"),
        (b"user,user,coins,ref\n", "line 1: expected the columns"),
        (b"user,coins,ref\nann,5,r\n\nbob\n", "line 4: expected 3 columns, got 1"),
        (b'user,coins,ref\n"ann,5,r\n', "line 2: not CSV"),
        ("user,coins,ref\nzoë,5,r\n".encode("latin-1"), "expected a file in UTF-8"),
    ],
)
def test_what_can_not_be_read_is_told_by_its_line(data: bytes, said: str) -> None:
    with pytest.raises(RequestError) as raised:
        rows_of(data)
    assert said in raised.value.detail


cells = st.text(st.characters(exclude_categories=("Cs", "Cc"))).map(str.strip)


@given(st.lists(st.fixed_dictionaries({"user": cells.filter(bool), "coins": st.integers(), "ref": cells})))
def test_what_was_written_reads_back_and_holds_no_formula(rows: list[dict[str, str | int]]) -> None:
    data = write_rows(COLUMNS, iter_of(rows))
    assert rows_of(data) == [{name: str(cell) for name, cell in row.items()} for row in rows]
    for row in list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[1:]:
        assert not any(cell and cell[0] in "=+-@\t\r" for cell in (row[0], row[2]))


def iter_of(rows: list[dict[str, str | int]]) -> Iterator[dict[str, str | int]]:
    yield from rows
