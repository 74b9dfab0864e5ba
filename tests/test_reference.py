"""The reference pages say what the code says."""

import re

import pytest

from livegift.reference.markdown import page, table
from livegift.reference.pages import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_as_the_code_has_it(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "call make generate"


def test_cells_stay_in_their_row() -> None:
    assert table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |\n"


def test_a_page_has_a_blank_line_before_each_part() -> None:
    assert page("T", "there", "\none\n", "two").split("\n\n")[2:] == ["one", "two\n"]


def test_links_to_types_lead_to_one_heading_each() -> None:
    text = PAGES["http.md"]()
    headings = [line.lstrip("# ").strip("`").lower() for line in text.splitlines() if line.startswith("#")]
    assert len(set(headings)) == len(headings)
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= set(headings)
