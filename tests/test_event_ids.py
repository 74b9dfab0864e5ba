"""Ids of events as clients see them: a permutation, opaque, and what was never given out is nobody's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.bounds import ID_PATTERN
from livegift.domain.partitions import Position
from livegift.runtime.event_ids import KEY_BYTES, EventIds

IDS = EventIds(bytes(range(KEY_BYTES)))
OTHERS = EventIds(bytes(KEY_BYTES))

partitions = st.integers(0, 2**16 - 1)
positions = st.builds(Position, st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1))


@given(partitions, positions)
def test_a_place_and_its_id_are_one_another(partition: int, position: Position) -> None:
    public = IDS.at(partition, position)
    assert re.match(ID_PATTERN, public)
    assert public[0].isalpha(), "no spreadsheet takes it for a formula"
    assert IDS.of(f"{partition}-{position}") == public
    assert IDS.place(public) == f"{partition}-{position}"
    assert OTHERS.place(public) is None, "another system's"


def test_neighbours_have_nothing_in_common() -> None:
    found = [IDS.at(partition, Position(1, n)) for partition in range(64) for n in range(64)]
    assert len(set(found)) == len(found)
    for start in (slice(0, 3), slice(8, 12), slice(19, 23)):
        assert len({public[start] for public in found}) > 500, "no piece of it tells the partition or n"


@given(st.text(max_size=30) | st.from_regex(r"g[A-Za-z0-9_-]{22}", fullmatch=True))
def test_what_was_made_up_is_nobodys(text: str) -> None:
    assert IDS.place(text) is None


@pytest.mark.parametrize(
    "text", ["", "g", "1-1-1", "1-1-99999999999999999999", "g" * 23 + "\n", "g" + "é" * 22, "g" + "=" * 22]
)
def test_odd_texts_are_nobodys(text: str) -> None:
    assert IDS.place(text) is None
    assert IDS.place(IDS.at(1, Position(1, 1))) == "1-1-1", "nothing is left of it in the cipher"


@given(partitions, positions, st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))
def test_one_text_alone_is_the_id(partition: int, position: Position, last: str) -> None:
    """The last character has four bits to spare."""
    public = IDS.at(partition, position)
    other = public[:-1] + last
    assert (IDS.place(other) is not None) == (other == public)


@pytest.mark.parametrize("position", [Position(2**32, 1), Position(1, 2**48)])
def test_what_has_no_room_is_refused(position: Position) -> None:
    with pytest.raises(ValueError, match="expected an epoch up to"):
        IDS.at(1, position)


def test_a_key_has_a_length() -> None:
    with pytest.raises(ValueError, match="16 bytes, got 3"):
        EventIds(b"key")
