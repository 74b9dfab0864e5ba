"""Who owns a wallet, and places in a journal."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.partitions import START, Position, event_id, partition_of
from tests.domain.operations import quick

ids = st.text("Az09._:-", min_size=1, max_size=64)
positions = st.builds(Position, st.integers(0, 2**53), st.integers(0, 2**53))


@quick
@given(ids, st.integers(1, 1024))
def test_every_user_has_one_partition(user: str, partitions: int) -> None:
    found = partition_of(user, partitions)
    assert 0 <= found < partitions
    assert found == partition_of(user, partitions) == crc32(user.encode()) % partitions


@pytest.mark.parametrize(("user", "expected"), [("alice", 7), ("bob", 0), ("123456789", 38), ("viewer-7", 17)])
def test_the_partition_of_a_user_never_changes(user: str, expected: int) -> None:
    """Wallets that exist live there: these numbers are for ever ('123456789' is crc32's own check, 0xcbf43926)."""
    assert partition_of(user, 64) == expected


def test_users_spread_over_the_partitions() -> None:
    counts = [0] * 64
    for number in range(64_000):
        counts[partition_of(f"user-{number}", 64)] += 1
    assert 800 < min(counts) <= max(counts) < 1200


@quick
@given(positions)
def test_a_position_is_read_back_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


@quick
@given(positions, positions)
def test_the_epoch_counts_first(one: Position, other: Position) -> None:
    assert (one < other) == (one.epoch < other.epoch or (one.epoch == other.epoch and one.n < other.n))
    assert one >= START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "a-1",
        "1-a",
        "1-2-3",
        "1.5-1",
        "0x1-1",
        "1--2",
        "-1-2",
        "+1-2",
        "1-+2",
        " 1-2",
        "1-2 ",
        "1-2\n",
        "1_0-2",
        "1-2_0",
        "01-2",
        "1-02",
        "٣-1",
        "²-1",
    ],
)
def test_anything_else_is_no_position(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the contract names no message
        Position.parse(text)


@quick
@given(st.text(alphabet="0123456789-+_ .e\n", max_size=8))
def test_what_is_read_is_what_is_written(text: str) -> None:
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert str(position) == text


@quick
@given(st.lists(st.tuples(st.integers(0, 1023), positions), unique=True))
def test_event_ids_are_unique_in_the_whole_system(places: list[tuple[int, Position]]) -> None:
    assert len({event_id(partition, position) for partition, position in places}) == len(places)
