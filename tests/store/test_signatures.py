"""The Redis Functions' signatures and records: what Lua repeats of them, and how Python packs and parses."""

import re
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.combos import StreakKey
from livegift.domain.spending import Accepted, Refused
from livegift.store.functions import LIBRARIES, VERSION, generate, source
from livegift.store.functions.leases import lease_take
from livegift.store.functions.partitions import RefRow, refs_put, streaks_drop
from livegift.store.functions.records import RECORDS
from livegift.store.functions.rooms import NamedGifterRow, PublicationRow, room_correct, rooms_gate
from livegift.store.functions.signature import FUNCTIONS
from livegift.store.wallets import parse_outcome
from tests.store.live import load_functions


def test_what_lua_repeats_is_what_python_says() -> None:
    assert not generate.stale(), "call python -m livegift.store.functions.generate"


@pytest.mark.parametrize("path", generate.FILES, ids=lambda path: path.name)
def test_a_changed_block_is_stale(path: Path) -> None:
    text = path.read_text()
    changed = re.sub(r"( *(?:--|#) \[/generated\]\n)", r"by hand\n\1", text)
    assert (changed != text) == ("[generated]" in text)
    assert generate.regenerated(changed) == text


@pytest.mark.parametrize(
    "block",
    [
        "-- [generated] function no_such_function\n-- [/generated]\n",
        "-- [generated] read usage from text: no_such_field\n-- [/generated]\n",
        "-- [generated] write usage to text: used.no_such_field\n-- [/generated]\n",
        "-- [generated] format usage to text: used.no_such_field\n-- [/generated]\n",
        "-- [generated] do something\n-- [/generated]\n",
        "-- [generated] read usage from text\n",
    ],
)
def test_nonsense_is_refused(block: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        generate.regenerated(block)


def test_each_signature_is_of_one_function_with_its_flags(client: redis.Redis) -> None:
    load_functions(client)
    found = {}
    for library in LIBRARIES:
        (row,) = client.function_list(library=f"livegift_{library}_{VERSION}")  # type: ignore[no-untyped-call]
        for function in row[row.index(b"functions") + 1]:
            said = dict(zip(function[::2], function[1::2], strict=True))
            found[said[b"name"].decode()] = {flag.decode() for flag in said[b"flags"]}
    assert found == {f"{name}_{VERSION}": set(function.flags) for name, function in FUNCTIONS.items()}
    for name in FUNCTIONS:
        assert sum(f"local function {name}_{VERSION}(" in source(library) for library in LIBRARIES) == 1


def test_each_function_is_in_the_documentation() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "reference" / "redis.md").read_text()
    assert [name for name in FUNCTIONS if f"`{name}_{VERSION}`" not in documented] == []


def test_a_room_says_how_many_fields_it_expects() -> None:
    assert f"ERR expected {len(PublicationRow._fields)} fields per entry" in source("rooms")


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_arguments_go_in_the_order_of_the_signature() -> None:
    expected = ("FCALL", f"lease_take_{VERSION}", 1, "{w1}", "relay", "me", 7)
    assert lease_take("{w1}", "relay", "me", 7) == expected
    assert lease_take("{w1}", ttl_ms=7, owner="me", role="relay") == expected
    assert lease_take.of_version(9)("{w1}", "relay", "me", 7) == ("FCALL", "lease_take_9", *expected[2:])
    assert rooms_gate() == ("FCALL", f"rooms_gate_{VERSION}", 0)


def test_what_is_repeated_follows_in_its_order() -> None:
    refs = [RefRow(answer="x", hour=5, ref="r", user="ann"), RefRow("bob", "s", 6, "y")]
    expected = (f"refs_put_{VERSION}", 1, "{w1}", "token", 60, "ann", "r", 5, "x", "bob", "s", 6, "y")
    assert refs_put("{w1}", "token", 60, iter(refs))[1:] == expected
    assert streaks_drop("{w1}", "token", ["a", "b"])[3:] == ("{w1}", "token", "a", "b")
    assert streaks_drop("{w1}", "token", [])[3:] == ("{w1}", "token")


def test_what_is_counted_says_how_many() -> None:
    sums = {"epoch": 1, "n": 2, "gifts": 3, "coins": 4, "diamonds": 5, "revoke_above": "", "room_lost": "1"}
    gifter = NamedGifterRow("cy", 6, 7, 8, b"{}")
    command = room_correct("{r}", 10, 11, 12, "before", **sums, forgotten=["ann", "bob"], gifters=[gifter])
    head = ("{r}", 10, 11, 12, "before", 1, 2, 3, 4, 5, "", "1")
    assert command[3:] == (*head, 2, "ann", "bob", *gifter)


# --- Records ----------------------------------------------------------------------------------------------------------

VALUES = {
    "integer": st.integers(0, 10**13).map(str),
    "digits": st.integers(0, 10**13).map(str),
    "hours": st.lists(st.integers(400_000, 600_000).map(str), max_size=3).map(",".join),
    "letters": st.sampled_from(["", "f", "l", "fl"]),
    "optional_integer": st.just("") | st.integers(0, 10**13).map(str),
    "signed_integer": st.integers(-(10**13), 10**13).map(str),
    "place": st.builds("{}-{}".format, st.integers(0, 99), st.integers(0, 10**9)),
    "optional_place": st.just("") | st.builds("{}-{}".format, st.integers(0, 99), st.integers(0, 10**9)),
    "hex": st.binary(max_size=8).map(bytes.hex),
    "text": st.from_regex(r"[a-z0-9:.!\"-]*", fullmatch=True),
}


@given(st.data(), st.sampled_from(sorted(RECORDS)))
def test_a_record_is_read_as_it_was_written(data: st.DataObject, name: str) -> None:
    record = RECORDS[name]
    fields = {field: data.draw(VALUES[kind], field) for field, kind in record.kinds.items()}
    assert record.parse(record.text(**fields)) == tuple(fields.values())


def test_a_text_that_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="got '1 2 x'"):
        RECORDS["gifter"].parse("1 2 x")


def test_outcomes_are_parsed_by_their_names() -> None:
    fields = {"event_id": "7-1-9", "coins": 2, "balance": 3, "seq": 4, "combo_id": "7-1-5", "repeat_count": 6}
    expected = Accepted(event_id="7-1-9", coins=2, balance=3, wallet_seq=4, combo_id="7-1-5", repeat_count=6)
    assert parse_outcome(RECORDS["accepted"].text(**fields).encode()) == expected
    known = parse_outcome(RECORDS["duplicate"].text(**fields).encode())
    assert isinstance(known, Accepted)
    assert known.duplicate
    refused = RECORDS["refused"].text(code="invalid", balance=8, shortfall=9)
    assert parse_outcome(refused.encode()) == Refused("invalid", balance=8, shortfall=9)
    exceeded = RECORDS["exceeded"].text(refused=refused, kind="day", whose="own", allowed=10, used=11)
    outcome = parse_outcome(exceeded.replace("invalid", "limit_exceeded").encode())
    assert isinstance(outcome, Refused)
    assert outcome.limit is not None
    assert outcome.limit._asdict() == {"kind": "day", "whose": "own", "allowed": 10, "used": 11}


def test_the_key_of_a_streak_is_the_same_in_both_languages() -> None:
    key = StreakKey("an|n", "r1", "rose", "bo|b", anonymous=True)
    assert RECORDS["streak_key"].parse(key.text) == ("r1", "rose", "bo!b", "1", "an!n")
