"""The reference pages say what the code says."""

import re
from typing import Annotated, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from livegift.contract.commands import type_of
from livegift.contract.messages import MESSAGES
from livegift.contract.values import Id
from livegift.processes.app import commands, event_kinds
from livegift.reference.markdown import page, table
from livegift.reference.pages import PAGES, ROOT
from livegift.reference.types import Types
from livegift.reference.typescript import declarations


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_as_the_code_has_it(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "call make generate"


def test_cells_stay_in_their_row() -> None:
    assert table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |\n"


def test_a_page_has_a_blank_line_before_each_part() -> None:
    assert page("T", "there", "\none\n", "two").split("\n\n")[2:] == ["one", "two\n"]


def test_links_to_types_lead_to_one_heading_each() -> None:
    text = PAGES["docs/reference/http.md"]()
    headings = [line.lstrip("# ").strip("`").lower() for line in text.splitlines() if line.startswith("#")]
    assert len(set(headings)) == len(headings)
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= set(headings)


def test_the_protocol_has_every_command_message_and_event() -> None:
    text = PAGES["docs/reference/protocol.md"]()
    said = {type_of(message) for message in MESSAGES} | set(commands().by_type) | {kind.type for kind in event_kinds()}
    assert {name for name in said if f"### `{name}`" not in text} == set()


def test_numbers_and_what_may_be_missing_or_null_say_what_they_mean() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", PAGES["docs/reference/protocol.md"](), re.MULTILINE)
    assert rows
    vague = [
        name
        for name, kind, noted, meaning in rows
        if not meaning and ("integer" in kind or "null" in kind or "missing" in noted)
    ]
    assert vague == ["t"], "which `ping` explains"


class _Inner(Struct):
    """An inner one."""

    count: Annotated[int, Meta(ge=1, le=10**13, description="how many")]


class _Outer(Struct):
    inner: list[_Inner]
    room: Id | None = None
    kind: Literal["live", "video"] = "live"
    seq: int | UnsetType = UNSET


def test_fields_are_told_in_words() -> None:
    types = Types()
    assert types.fields(_Outer).splitlines()[2:] == [
        "| `inner` | list of [_Inner](#_inner) |  |  |",
        "| `room` | id or null | may be missing |  |",
        '| `kind` | `"live"` or `"video"` | default `"live"` |  |',
        "| `seq` | integer | may be missing |  |",
    ]
    assert types.named == {"_Inner": _Inner}
    assert types.fields(_Inner).splitlines()[2:] == ["| `count` | integer, 1 to 10^13 |  | how many |"]


class Leaf(Struct, tag="leaf"):
    """A leaf. */ not an end"""

    of: "Branch | None"
    size: Annotated[int, Meta(ge=1, description="in leaves")] | None
    kind: Literal["a", 1]
    words: Annotated[str, Meta(max_length=9, description="words")] | UnsetType = UNSET


class Branch(Struct, tag="branch"):
    """Has leaves."""

    leaves: list[Leaf]
    sizes: dict[str, float]


def test_typescript_has_each_struct_once() -> None:
    text = declarations({"Tree": [Leaf, Branch]}, {Branch: {"extra": Leaf}})
    assert text.startswith("export type Tree =\n  | Leaf\n  | Branch;\n")
    assert text.count("export interface Leaf {") == text.count("export interface Branch {") == 1
    assert '  type: "leaf";\n  of: Branch | null;\n  /** in leaves, >= 1 */\n  size: number | null;\n' in text
    assert '  kind: 1 | "a";\n' in text or 'kind: "a" | 1;' in text
    assert "  /** words, 0 to 9 characters */\n  words?: string;" in text
    assert "  leaves: Array<Leaf>;\n  sizes: Record<string, number>;\n  extra: Array<Leaf>;\n}" in text
    assert "*/ not" not in text


def test_typescript_refuses_two_structs_of_one_name_and_unknown_types() -> None:
    other = defstruct("Leaf", [("x", int)], tag="other")
    with pytest.raises(ValueError, match="one Struct of the name Leaf"):
        declarations({"Tree": [Leaf, other]}, {})
    with pytest.raises(ValueError, match="TypeScript has a word for"):
        declarations({"Tree": [defstruct("Odd", [("x", bytes)])]}, {})
