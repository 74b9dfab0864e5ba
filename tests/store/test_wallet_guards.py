"""What stops all money of a partition: nobody vouches for this Redis, a reader is far behind, a clock is wrong."""

from collections.abc import Callable

import pytest
import redis

from livegift.domain.spending import Accepted, Change, GiftSend, Refused
from livegift.runtime.bounds import CLOCK_DIFFERENCE_MAX_MS
from livegift.store import keys
from livegift.store.functions import source
from livegift.store.wallets import Unknown, batch_outcomes, parse_outcome
from tests.store.live import NEVER_MS, Live, codes

UNAVAILABLE = Refused("unavailable", 0)


def gift(ref: str = "ref", user: str = "ann", **fields: object) -> GiftSend:
    plain = {"payload_hash": "aa", "room": "r1", "to": "dan", "gift_id": "rose", "price": 5, "count": 1}
    more = {"diamond_count": 5, "streakable": False}
    return GiftSend(user=user, ref=ref, **{**plain, **more, **fields})  # type: ignore[arg-type]


def assert_takes_no_money(live: Live) -> None:
    """Every function that moves money says so and leaves everything as it is."""
    before = live.dump()
    outcomes = [
        *live.gifts([gift("new"), gift("other", "bob")]),
        live.credit("ann", 5, "new"),
        live.change(Change("ann", "new", "aa", -5, "correction", overdraw=True)),
    ]
    assert all(isinstance(outcome, Unknown) for outcome in outcomes), "nobody may look at the refs"
    assert not live.is_armed
    assert live.dump() == before


# --- Arming -----------------------------------------------------------------------------------------------------------


def test_a_partition_that_was_never_armed_takes_no_money(client: redis.Redis) -> None:
    live = Live(client, armed=False)
    assert_takes_no_money(live)
    assert live.all_keys() == []
    assert live.sweep() == 0


def disarm(live: Live) -> None:
    live.call("partition_disarm", "token")


def store_a_higher_epoch(live: Live) -> None:
    live.set_counters(epoch="2")


def store_a_lower_epoch(live: Live) -> None:
    live.set_counters(epoch="0")


def store_the_epoch_in_other_digits(live: Live) -> None:
    live.set_counters(epoch="01")


def garble_the_counters(live: Live) -> None:
    live.run("SET", keys.counters(live.root), "|1")


def lose_the_counters(live: Live) -> None:
    live.run("DEL", keys.counters(live.root))


def reload_the_library(live: Live) -> None:
    live.run("FUNCTION", "LOAD", "REPLACE", source("wallets"))


@pytest.mark.parametrize(
    "happens",
    [
        disarm,
        store_a_higher_epoch,
        store_a_lower_epoch,
        store_the_epoch_in_other_digits,
        garble_the_counters,
        lose_the_counters,
        reload_the_library,
    ],
)
def test_no_money_moves_in_a_redis_that_nobody_vouches_for(
    client: redis.Redis, happens: Callable[[Live], None]
) -> None:
    live = Live(client, epoch=1)
    live.credit("ann", 100)
    assert isinstance(live.gift(gift(streakable=True), 1), Accepted)
    assert live.is_armed
    live.pass_ms(2)
    happens(live)
    assert_takes_no_money(live)
    before = live.dump()
    assert live.sweep() == -1
    assert live.dump() == before


def test_after_flushall_no_money_moves_until_the_partition_is_armed_again(client: redis.Redis) -> None:
    live = Live(client, epoch=3)
    live.credit("ann", 100)
    live.run("FLUSHALL")
    assert_takes_no_money(live)
    assert live.all_keys() == []
    live.arm(4)
    assert live.credit("ann", 100) == Accepted("7-4-1", 100, 100, 1)


@pytest.mark.parametrize(("epoch", "accepted"), [(4, False), (5, False), (6, True), (10, True), (1000, True)])
def test_the_epoch_only_goes_up(client: redis.Redis, epoch: int, *, accepted: bool) -> None:
    live = Live(client, epoch=5)
    if accepted:
        assert live.arm(epoch) == b"OK"
        assert live.meta("epoch") == [str(epoch)]
        assert live.is_armed
    else:
        before = live.dump()
        with pytest.raises(redis.ResponseError, match=f"has epoch 5, not below {epoch}"):
            live.arm(epoch)
        assert live.dump() == before
        assert not live.is_armed, "it was disarmed to be armed"


def test_only_the_last_one_who_disarmed_can_arm(client: redis.Redis) -> None:
    live = Live(client, epoch=1)
    live.credit("ann", 100)
    with pytest.raises(redis.ResponseError, match="is armed, or was disarmed by somebody else"):
        live.call("partition_arm", 2, 7, 1000, "nobody", 1, "ab")
    live.call("partition_disarm", "first")
    assert live.call("partition_disarm", "second") == [b"1", b"1"]
    with pytest.raises(redis.ResponseError, match="disarmed by somebody else"):
        live.call("partition_arm", 2, 7, 1000, "first", 1, "ab")
    with pytest.raises(redis.ResponseError, match="is at n 1, not at 2"):
        live.call("partition_arm", 2, 7, 1000, "second", 2, "ab")
    assert live.call("partition_arm", 2, 7, 1000, "second", 1, "ab") == b"OK"
    assert live.is_armed


def test_the_journal_goes_on_in_the_next_epoch_without_a_hole(client: redis.Redis) -> None:
    live = Live(client, epoch=1)
    live.credit("ann", 100)
    live.gift(gift("one"))
    assert live.arm(2) == b"OK"
    assert isinstance(live.gift(gift("two")), Accepted)
    assert [str(entry.position) for entry in live.journal()] == ["1-1", "1-2", "2-3"]
    assert live.wallet("ann") == (90, 3, False)
    assert live.meta("n", "gifts", "coins") == ["3", "2", "10"]


def test_partitions_are_armed_one_by_one(client: redis.Redis) -> None:
    one, other = Live(client), Live(client, armed=False)
    assert isinstance(one.credit("ann", 5), Accepted)
    assert isinstance(other.credit("ann", 5), Unknown)
    disarm(one)
    other.arm(1)
    assert isinstance(one.credit("ann", 5, "again"), Unknown)
    assert isinstance(other.credit("ann", 5), Accepted)


# --- Backlog and clock ------------------------------------------------------------------------------------------------


def test_new_entries_stop_when_the_slower_reader_is_too_far_behind(client: redis.Redis) -> None:
    live = Live(client, backlog_max=3)
    live.credit("ann", 100)
    assert codes([live.gift(gift(str(i))) for i in range(5)]) == ["", "", *["unavailable"] * 3]
    assert live.credit("bob", 5) == UNAVAILABLE
    live.advance("relayed", live.meta("epoch", "n")[0] + "-3")
    assert live.gift(gift("5")) == UNAVAILABLE, "the ledger is still behind"
    live.advance("booked", "1-1")
    assert codes([live.gift(gift(str(i))) for i in range(6, 9)]) == ["", "unavailable", "unavailable"]
    assert live.meta("n") == ["4"]


def test_one_call_with_many_gifts_does_not_go_beyond_the_backlog_limit(client: redis.Redis) -> None:
    live = Live(client, backlog_max=3)
    live.credit("ann", 100)
    assert codes(live.gifts([gift(str(i)) for i in range(6)])) == ["", "", *["unavailable"] * 4]
    assert live.meta("n") == ["3"]


def test_a_refusal_for_the_backlog_leaves_every_key_as_it_was(client: redis.Redis) -> None:
    live = Live(client, backlog_max=1)
    live.credit("ann", 100)
    before = live.dump()
    assert live.gift(gift(streakable=True)) == UNAVAILABLE
    assert live.dump() == before


def test_a_streak_ends_whatever_the_backlog_is(client: redis.Redis) -> None:
    live = Live(client, backlog_max=2)
    live.credit("ann", 100)
    live.gift(gift(streakable=True), 1)
    assert live.gift(gift("more")) == UNAVAILABLE
    live.pass_ms(2)
    assert live.sweep() == 0
    assert [entry.kind for entry in live.journal()] == ["change", "gift", "streak_end"]


def test_an_accepted_ref_is_answered_again_whatever_the_backlog_is(client: redis.Redis) -> None:
    """A repeat of an accepted `ref` never turns into a refusal: it would say that nothing was charged."""
    live = Live(client, backlog_max=2)
    live.credit("ann", 100)
    first = live.gift(gift())
    assert isinstance(first, Accepted)
    again = live.gift(gift())
    assert isinstance(again, Accepted), again
    assert (again.event_id, again.duplicate) == (first.event_id, True)


@pytest.mark.parametrize("sign", [1, -1])
def test_debits_stop_when_the_clocks_differ_too_much(client: redis.Redis, sign: int) -> None:
    live = Live(client)
    live.credit("ann", 100)
    before = live.dump()
    far = live.now_ms() + sign * (CLOCK_DIFFERENCE_MAX_MS + 5_000)
    assert live.run(*live.gifts_command([gift(), gift("b")], now_ms=far)) == [b"no|unavailable|0|0"] * 2
    assert live.dump() == before
    near = live.now_ms() + sign * (CLOCK_DIFFERENCE_MAX_MS - 30_000)
    (reply,) = live.run(*live.gifts_command([gift()], now_ms=near))
    assert isinstance(parse_outcome(reply), Accepted)
    assert live.is_armed


def test_an_accepted_ref_is_answered_again_whatever_the_clock_says(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    first = live.gift(gift())
    (reply,) = live.run(*live.gifts_command([gift()], now_ms=live.now_ms() + 2 * CLOCK_DIFFERENCE_MAX_MS))
    again = parse_outcome(reply)
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted), again
    assert (again.event_id, again.duplicate) == (first.event_id, True)


# --- A function that fails half-way -----------------------------------------------------------------------------------


def test_an_error_after_a_first_write_stops_the_rest_of_the_call_and_the_partition(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.run("DEL", keys.outbox(live.root))
    live.run("SET", keys.outbox(live.root), "not a stream")
    first, *rest = live.gifts([gift("1"), gift("2"), gift("3", "bob")])
    assert isinstance(first, Unknown), "nobody knows whether it was charged"
    assert "WRONGTYPE" in first.message
    assert all(isinstance(outcome, Unknown) for outcome in rest), "nobody has looked at their refs"
    assert_takes_no_money(live)


def test_what_came_before_the_error_counts(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.credit("bob", 100)
    live.run("SET", keys.wallet(live.root, "cyd"), "not a hash")
    good, bad, late = live.gifts([gift("1"), gift("1", "cyd"), gift("1", "bob")])
    assert isinstance(good, Accepted)
    assert isinstance(bad, Unknown)
    assert isinstance(late, Unknown)
    assert live.meta("n", "gifts", "coins") == ["3", "1", "5"]
    assert [str(entry.position) for entry in live.journal()] == ["1-1", "1-2", "1-3"]
    assert live.wallet("ann") == (95, 2, False)
    assert live.wallet("bob") == (100, 1, False)
    assert_takes_no_money(live)


@pytest.mark.parametrize("delta", [5, -5])
def test_a_change_that_fails_half_way_stops_the_partition(client: redis.Redis, delta: int) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.run("DEL", keys.outbox(live.root))
    live.run("SET", keys.outbox(live.root), "not a stream")
    assert isinstance(live.change(Change("ann", "ref", "aa", delta, "correction")), Unknown)
    assert_takes_no_money(live)


def test_a_sweep_that_fails_half_way_stops_the_partition(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.gift(gift(streakable=True), 1)
    live.run("DEL", keys.outbox(live.root))
    live.run("SET", keys.outbox(live.root), "not a stream")
    live.pass_ms(2)
    assert live.sweep() != 0, "it is still open"
    assert_takes_no_money(live)


def test_a_journal_that_somebody_else_has_written_to_stops_the_partition(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.run("XADD", keys.outbox(live.root), "1-2", "e", "[]")
    assert isinstance(live.gift(gift()), Unknown)
    assert_takes_no_money(live)


def test_a_command_that_redis_refused_says_nothing_about_the_refs() -> None:
    outcomes = batch_outcomes(redis.ResponseError("OOM command not allowed"), 3)
    assert len(outcomes) == 3
    assert all(isinstance(outcome, Unknown) for outcome in outcomes), "an earlier try may have been accepted"


def test_a_reply_of_another_length_says_nothing_for_certain() -> None:
    assert all(isinstance(outcome, Unknown) for outcome in batch_outcomes([b"ok|7-1-1|5|5|1||0"], 2))
    with pytest.raises(ValueError, match="expected ok, dup, no or error"):
        parse_outcome(b"maybe|1")


def test_a_time_out_of_streaks_that_nobody_sees_is_possible(client: redis.Redis) -> None:
    """The tests' own assumption: a streak with NEVER_MS stays open."""
    live = Live(client)
    live.credit("ann", 100)
    live.gift(gift(streakable=True), NEVER_MS)
    assert live.sweep() == 1


def test_a_relay_that_was_ahead_of_what_was_lost_has_no_more_than_there_is(client: redis.Redis) -> None:
    live = Live(client, epoch=1)
    live.credit("ann", 100)
    live.run("HSET", keys.meta(live.root), "relayed", "1-3", "relayed_n", 3)
    live.arm(2)
    assert live.meta("relayed", "relayed_n") == ["2-1", "1"]
    live.advance("relayed", "1-3")
    assert live.meta("relayed", "relayed_n") == ["2-1", "1"], "what is not of this branch comes before it"


def test_a_cursor_is_taken_only_from_a_reader_of_this_very_partition(client: redis.Redis) -> None:
    """Whoever has read another Redis, or before the relays were set back, would have trimmed what is needed."""
    live = Live(client, epoch=3)
    live.credit("ann", 100)
    assert live.advance("booked", "3-2") == live.advance("booked", "4-1") == live.advance("relayed", "3-2") == 0
    for incarnation in ((2, 0), (4, 0), (3, 1), ()):
        assert live.call("cursor_advance", "relayed", "3-1", *incarnation) == 0
    live.call("partition_disarm", "token")
    assert live.advance("relayed", "3-1") == 0, "while it is compared it stands still"
    assert live.advance("booked", "3-1") == 1
    live.arm(4)
    assert live.advance("relayed", "3-1") == 1


def test_relays_are_set_back_only_to_where_the_outbox_is_whole(client: redis.Redis) -> None:
    live = Live(client, epoch=3)
    for ref in "abc":
        live.credit("ann", 100, ref)
    live.advance("relayed", "3-3")
    for epoch in (2, 4):
        with pytest.raises(redis.ResponseError, match="is at epoch 3"):
            live.call("cursor_rewind", "3-0", epoch)
    assert live.call("cursor_rewind", "3-0", 3) == 1
    assert live.meta("relayed") == ["3-0"]
    live.advance("relayed", "3-3")
    live.advance("booked", "3-2")
    live.call("outbox_trim", "3-2")
    with pytest.raises(redis.ResponseError, match="does not have all entries after 3-0"):
        live.call("cursor_rewind", "3-0", 3)
    assert live.call("cursor_rewind", "3-1", 3) == 2
    live.call("partition_disarm", "token")
    live.call("partition_put", "token", 2, 3, 5, 0, 0, "", "")  # the ledger has 4 and 5, which Redis has lost
    with pytest.raises(redis.ResponseError, match="does not have all entries after 3-4"):
        live.call("cursor_rewind", "3-4", 3)
    assert live.call("cursor_rewind", "3-5", 3) == 4
