"""What a partition remembers, for how long, in how many bytes, and what it forgets."""

import orjson
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from livegift.contract.journal import StreakEnded
from livegift.domain.partitions import Position
from livegift.domain.spending import Accepted, Change, GiftSend
from livegift.store import keys
from livegift.store.functions.records import RECORDS
from livegift.store.wallets import Display, payload_hash
from tests.store.live import REF_TTL_S, Live, positions
from tests.store.test_wallet_guards import gift

HOUR_S = 3600
WALLET = RECORDS["wallet"]


def hours_of(live: Live, user: str) -> list[int]:
    """The hours in which a wallet has refs, as it notes them."""
    hours = WALLET.parse(live.run("GET", keys.wallet(live.root, user)).decode())[2]
    return [int(hour) for hour in hours.split(",")]


def ref_key(live: Live, user: str, hour: int) -> str:
    return f"{live.root}:ref:{user}:{hour}"


def note_hours(live: Live, user: str, *hours: int) -> None:
    """As if the wallet had refs in these hours."""
    text = live.run("GET", keys.wallet(live.root, user)).decode()
    fields = dict(zip(WALLET.kinds, WALLET.parse(text), strict=True))
    live.run("SET", keys.wallet(live.root, user), WALLET.text(**{**fields, "hours": ",".join(map(str, hours))}))


# --- Refs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl_s", [60, 3600, 3601, 86_400])
def test_refs_of_an_hour_live_for_their_time_and_that_hour(client: redis.Redis, ttl_s: int) -> None:
    live = Live(client)
    live.change(Change("ann", "one", "aa", 100, "grant"), ttl_s)
    (hour,) = hours_of(live, "ann")
    assert abs(hour - live.now_ms() // 1000 // HOUR_S) <= 1
    assert ttl_s < live.run("TTL", ref_key(live, "ann", hour)) <= ttl_s + HOUR_S
    live.run("PERSIST", ref_key(live, "ann", hour))
    live.change(Change("ann", "two", "aa", 100, "grant"), ttl_s)
    if hours_of(live, "ann") == [hour]:
        assert live.run("TTL", ref_key(live, "ann", hour)) == -1, "set once an hour, not with every gift"


def test_every_hash_of_refs_has_an_end(client: redis.Redis) -> None:
    live = Live(client)
    for user in ("ann", "bob"):
        live.credit(user, 100)
        live.gifts([gift("1", user), gift("2", user)])
    refs = [key for key in live.all_keys() if b":ref:" in key]
    assert len(refs) >= 2
    assert all(live.run("TTL", key) > REF_TTL_S for key in refs)
    assert all(live.run("TTL", key) == -1 for key in live.all_keys() if b":ref:" not in key)


def test_a_ref_of_an_earlier_hour_is_found(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    first = live.gift(gift())
    (hour,) = hours_of(live, "ann")
    live.run("RENAME", ref_key(live, "ann", hour), ref_key(live, "ann", hour - 2))
    note_hours(live, "ann", hour - 2)
    again = live.gift(gift())
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert hours_of(live, "ann") == [hour - 2], "nothing was written"
    assert isinstance(live.gift(gift("new")), Accepted)
    assert hours_of(live, "ann")[0] == hour - 2
    again = live.gift(gift())
    assert isinstance(again, Accepted)
    assert again.duplicate


@pytest.mark.parametrize(("ttl_s", "kept"), [(60, 1), (3600, 1), (3601, 2), (7200, 2), (86_400, 24)])
def test_hours_that_are_over_are_forgotten(client: redis.Redis, ttl_s: int, kept: int) -> None:
    live = Live(client)
    live.change(Change("ann", "one", "aa", 100, "grant"), ttl_s)
    (hour,) = hours_of(live, "ann")
    note_hours(live, "ann", *range(hour - 30, hour))
    live.change(Change("ann", "two", "aa", 100, "grant"), ttl_s)
    now = hours_of(live, "ann")[-1]
    assert hours_of(live, "ann") == list(range(now - kept, hour)) + list(range(hour, now)) + [now]


def test_a_clock_that_goes_back_an_hour_forgets_no_ref(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    first = live.gift(gift())
    (hour,) = hours_of(live, "ann")
    live.run("RENAME", ref_key(live, "ann", hour), ref_key(live, "ann", hour + 1))
    note_hours(live, "ann", hour + 1)
    live.gift(gift("new"))
    assert set(hours_of(live, "ann")) >= {hour, hour + 1}
    for ref in ("ref", "new"):
        again = live.gift(gift(ref))
        assert isinstance(again, Accepted)
        assert again.duplicate
    assert isinstance(first, Accepted)


def test_the_same_ref_of_two_users_is_two_refs(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.credit("ann:ref", 100)
    outcomes = [live.gift(gift("1", user)) for user in ("ann", "ann:ref")]
    assert [isinstance(o, Accepted) and not o.duplicate for o in outcomes] == [True, True]


def test_a_stored_answer_stays_below_64_bytes(client: redis.Redis) -> None:
    """Above that Redis leaves its compact form, and a gift costs three times the memory."""
    live = Live(client, number=1023, epoch=999)
    live.set_counters(n=9_999_999_990, n_max=10**13)
    live.credit("ann", 10**12)
    hashed = payload_hash("room", "universe", 999, None, 34_999, "m" * 200, False)
    sends = [
        GiftSend("ann", str(i).rjust(64, "r"), hashed, "room", "bob", "universe", 34_999, 999, 34_999, streakable=True)
        for i in range(100)
    ]
    for start in range(0, 100, 25):
        assert all(isinstance(outcome, Accepted) for outcome in live.gifts(sends[start : start + 25]))
    for hour in hours_of(live, "ann"):
        key = ref_key(live, "ann", hour)
        lengths = [len(value) for value in live.run("HVALS", key)]
        assert max(lengths) < 64
        assert live.run("OBJECT", "ENCODING", key) == b"listpack"
    assert live.run("STRLEN", keys.wallet(live.root, "ann")) < 64


# --- Cursors and trimming ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["relayed", "booked"]), st.integers(1, 3), st.integers(0, 30)), max_size=12))
def test_a_cursor_never_goes_back(client: redis.Redis, moves: list[tuple[str, int, int]]) -> None:
    live = Live(client, epoch=3, backlog_max=100)
    live.set_counters(n=30)
    furthest = {"relayed": Position(0, 0), "booked": Position(0, 0)}
    for reader, epoch, n in moves:
        position = Position(epoch, n)
        moved = live.advance(reader, str(position))
        assert moved == int(position > furthest[reader])
        furthest[reader] = max(furthest[reader], position)
    state = live.call("partition_state")
    assert [Position.parse(item.decode()) for item in state[3:5]] == [furthest["relayed"], furthest["booked"]]
    slower = min(position.n for position in furthest.values())
    assert live.meta("n_max") == [str(slower + 100)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 20))
def test_nothing_is_trimmed_that_a_reader_still_needs(
    client: redis.Redis, entries: int, relayed: int, booked: int, upto: int
) -> None:
    live = Live(client)
    for number in range(entries):
        live.credit("ann", 1, str(number))
    for reader, n in (("relayed", min(relayed, entries)), ("booked", min(booked, entries))):
        if n:
            live.advance(reader, f"1-{n}")
    first = max(min(relayed, booked, upto, entries), 1)  # the last entry that all have stays, to tell where it ends
    assert live.call("outbox_trim", f"1-{upto}") == first - 1
    assert positions(live.rows()) == [Position(1, n) for n in range(first, entries + 1)]
    assert live.call("outbox_trim", f"1-{upto}") == 0


def test_trimming_reaches_over_epochs(client: redis.Redis) -> None:
    live = Live(client, epoch=1)
    live.credit("ann", 1, "a")
    live.credit("ann", 1, "b")
    live.arm(2)
    live.credit("ann", 1, "c")
    live.advance("booked", "2-3")
    live.advance("relayed", "1-2")
    assert live.call("outbox_trim", "2-3") == 1
    assert positions(live.rows()) == [Position(1, 2), Position(2, 3)]


def test_the_numbers_go_on_after_everything_was_trimmed(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 5, "a")
    for reader in ("relayed", "booked"):
        live.advance(reader, "1-1")
    live.call("outbox_trim", "1-1")
    live.run("XTRIM", keys.outbox(live.root), "MAXLEN", 0)
    assert live.credit("ann", 5, "b") == Accepted("7-1-2", 5, 10, 2)


def test_the_cursor_of_a_partition_that_was_never_armed_stays_where_it_is(client: redis.Redis) -> None:
    """After FLUSHALL a relay still notes how far it was."""
    live = Live(client, armed=False)
    assert live.advance("relayed", "1-5") == live.advance("booked", "1-5") == 0
    assert live.all_keys() == []


# --- Streaks ----------------------------------------------------------------------------------------------------------


def test_a_sweep_ends_at_most_as_many_as_it_was_told_oldest_first(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    for number in range(5):
        live.gift(gift(str(number), room=f"r{number}", streakable=True), 1)
        live.pass_ms(1)
    live.pass_ms(2)
    assert [live.sweep(at_most=2) for _ in range(3)] == [3, 1, 0]
    ended = [entry.combo_id for entry in live.journal() if entry.kind == "streak_end"]
    assert ended == [entry.combo_id for entry in live.journal() if entry.kind == "gift"]
    before = live.dump()
    assert live.sweep() == 0
    assert live.dump() == before


def test_a_sweep_for_a_room_also_ends_what_is_over_elsewhere(client: redis.Redis) -> None:
    """`Outbox.sweep_streaks`: "end the streaks that are over, and all of `room`"; so does the reference."""
    live = Live(client)
    live.credit("ann", 100)
    live.gift(gift("over", room="r2", streakable=True), 1)
    live.gift(gift("open", room="r1", streakable=True))
    live.pass_ms(2)
    assert live.sweep("r1") == 0
    assert live.streaks() == set()


def test_the_end_of_a_room_leaves_rooms_whose_names_begin_alike(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    rooms = ("r", "r1", "r1:x", "r10", "1")
    live.gifts([gift(room, room=room, streakable=True) for room in rooms])
    assert live.sweep("r1") == 4
    assert live.streaks() == {f"{room}|rose|dan|0|ann" for room in rooms if room != "r1"}


def test_a_streak_shows_the_sender_as_of_the_first_gift(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    for number, name in enumerate(("Old | name \\\\n 🌹 ]", "New name")):
        shown = Display(f'["{name}","Dan","a|b",1,1,1,"R"]')
        live.run(*live.gifts_command([gift(str(number), streakable=True)], 1 if number else 10**9, display=shown))
    live.pass_ms(2)
    live.sweep()
    end = live.rows()[-1].entry
    assert isinstance(end, StreakEnded)
    assert orjson.loads(bytes(end.user_json)) == {"id": "ann", "name": "Old | name \\n 🌹 ]"}
    assert orjson.loads(bytes(end.details_json))["gift"]["name"] == "a|b"
