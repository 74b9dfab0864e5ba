"""Wallets, streaks and counters as version 1 of the functions has left them: whoever changes one stores it anew."""

import pytest
import redis

from livegift.contract.journal import StreakEnded
from livegift.domain.allowances import Caps, Policy, SpendingLimits, Usage
from livegift.domain.spending import Accepted, Change, GiftSend, LimitsSet, Refused, SetLimits
from livegift.store import keys
from livegift.store.functions.partitions import RefRow
from livegift.store.repair import _wallet_row
from tests.store.live import NEVER_MS, REF_TTL_S, Live
from tests.store.test_wallet_guards import gift

LIMITS = "3|10|||0|||"
USAGE = "20261130|7|9|29000000|2"
HASH = "aa"


@pytest.fixture
def live(client: redis.Redis) -> Live:
    return Live(client)


def older_wallet(live: Live, user: str = "ann", **fields: object) -> None:
    live.run("HSET", keys.wallet(live.root, user), *[part for pair in fields.items() for part in pair])


def is_older(live: Live, user: str = "ann") -> bool:
    return bool(live.run("TYPE", keys.wallet(live.root, user)) == b"hash")


def test_it_is_read_as_it_is(live: Live) -> None:
    older_wallet(live, b=90, s=4, h="1,2", f=1, l=LIMITS, u=USAGE)
    before = live.dump()
    found = live.balance("ann")
    assert (found.balance, found.seq, found.frozen_by_operator) == (90, 4, True)
    assert found.limits == SpendingLimits(3, Caps(10))
    assert found.usage == Usage(20261130, 7, 9, 29_000_000, 2)
    older_wallet(live, "bob", b=5, s=1, h="")
    assert live.balance("bob").balance == 5
    assert live.balance("nobody").seq == 0
    live.run("DEL", keys.wallet(live.root, "bob"))
    assert live.dump() == before


def test_a_gift_stores_it_anew_with_its_limits(live: Live) -> None:
    older_wallet(live, b=90, s=4, h="", l=LIMITS, u=USAGE)
    day = Policy(20261130, Caps())
    assert live.gift(gift("much", price=11, policy=day)) == Refused(
        "limit_exceeded",
        90,
        limit=live.gift(gift("much", price=11, policy=day)).limit,  # type: ignore[union-attr]
    )
    assert is_older(live), "a refusal changes nothing"
    accepted = live.gift(gift("1", price=10, policy=day))
    assert isinstance(accepted, Accepted)
    assert (accepted.balance, accepted.wallet_seq) == (80, 5)
    assert not is_older(live)
    found = live.balance("ann")
    assert (found.limits, found.usage[:3]) == (SpendingLimits(3, Caps(10)), (20261130, 17, 19))
    assert live.gift(gift("2", price=11, policy=day)).code == "limit_exceeded"  # type: ignore[union-attr]


def test_a_frozen_one_stays_frozen_and_can_be_thawed(live: Live) -> None:
    older_wallet(live, b=90, s=4, h="", f=1, l="1||||0|||")
    assert live.gift(gift("1")) == Refused("wallet_frozen", 90)
    assert isinstance(live.change(Change("ann", "back", HASH, 10, "correction")), Accepted)
    assert not is_older(live)
    assert live.gift(gift("1")) == Refused("wallet_frozen", 100)
    assert live.set_limits(SetLimits("ann", 1, None, 0, frozen=False, by="root")) == LimitsSet(2)
    assert isinstance(live.gift(gift("1")), Accepted)


def test_limits_of_it_are_changed(live: Live) -> None:
    older_wallet(live, b=90, s=4, h="", l=LIMITS, u=USAGE)
    assert live.set_limits(SetLimits("ann", 3, Caps(5), 0)) == LimitsSet(4)
    found = live.balance("ann")
    assert (found.balance, found.seq, found.limits.own, found.usage.day_coins) == (90, 4, Caps(5), 7)
    assert not is_older(live)


@pytest.mark.parametrize("hours_ago", [0, 1])
def test_its_refs_are_known(live: Live, hours_ago: int) -> None:
    hour = live.now_ms() // 3_600_000 - hours_ago
    live.run("HSET", f"{live.root}:ref:ann:{hour}", "old", f"{HASH}|1-3|5|1-3|1", "grown", f"{HASH}|1-4|5|1-3|2")
    older_wallet(live, b=90, s=4, h=hour)
    before = live.dump()
    old, grown = live.gift(gift("old")), live.gift(gift("grown", price=1000, verdict="room_ended"))
    assert old == Accepted("7-1-3", 5, 90, 4, "7-1-3", 1, duplicate=True)
    assert grown == Accepted("7-1-4", 5, 90, 4, "7-1-3", 2, duplicate=True)
    assert live.gift(gift("old", payload_hash="bb")) == Refused("ref_conflict", 90)
    assert live.dump() == before
    assert isinstance(live.gift(gift("new")), Accepted)
    again = live.gift(gift("old"))
    assert isinstance(again, Accepted)
    assert (again.event_id, again.duplicate) == ("7-1-3", True)


def test_a_repair_keeps_its_hours(live: Live) -> None:
    hour = live.now_ms() // 3_600_000
    older_wallet(live, b=90, s=4, h=hour - 1, f=1, l=LIMITS, u=USAGE)
    older_wallet(live, "bob", b=9, s=1, h=hour - 1, l=LIMITS)
    live.call("partition_disarm", "token")
    found = live.balance("ann")
    state = type("State", (), {"user": "ann", "balance": 7, "seq": 2, "frozen": False, "limits": found.limits})
    state.usage = found.usage  # type: ignore[attr-defined]
    live.call("wallets_put", "token", *_wallet_row(state))  # type: ignore[arg-type]
    for user in ("ann", "bob"):
        live.call("refs_put", "token", REF_TTL_S, *RefRow(user, "back", hour, f"{HASH}|1-3|5||1"))
        assert not is_older(live, user)
        assert live.balance(user).limits == SpendingLimits(3, Caps(10))
        assert b"%d,%d" % (hour, hour - 1) in live.run("GET", keys.wallet(live.root, user))
    live.call("refs_drop", "token", "ann", "back", "")
    assert live.wallet("ann") == (7, 2, False)
    live.arm(2)
    assert live.gift(gift("back", "bob")) == Accepted("7-1-3", 5, 9, 1, "7-1-3", 1, duplicate=True)
    assert live.gift(gift("back")).balance == 2  # type: ignore[union-attr]


def older_streak(live: Live, key: str, deadline_ms: int) -> None:
    state = f'1-1|3|{deadline_ms}|{{"id":"ann","name":"A | n"}}\n{{"to_user":{{}},"gift":{{"id":"rose"}}}}'
    live.run("HSET", f"{live.root}:streaks", key, state)
    live.run("ZADD", keys.due(live.root), deadline_ms, key)


def test_its_streaks_go_on_and_end(live: Live) -> None:
    live.credit("ann", 100)
    live.call("partition_disarm", "token")
    for room in ("r1", "r2"):
        older_streak(live, f"{room}|rose|dan|0|ann", live.now_ms() + NEVER_MS)
    assert live.call("streaks_convert", "token") == live.call("streaks_convert", "token") == b"OK"
    live.arm(2)
    assert live.streaks() == {"r1|rose|dan|0|ann", "r2|rose|dan|0|ann"}
    grown = live.gift(gift("1", streakable=True))
    assert isinstance(grown, Accepted)
    assert (grown.combo_id, grown.repeat_count) == ("7-1-1", 4)
    for room in ("r1", "r2"):
        live.sweep(room)
    ends = [row.entry for row in live.rows() if isinstance(row.entry, StreakEnded)]
    assert [(end.room, end.repeat_count) for end in ends] == [("r1", 4), ("r2", 3)]
    assert bytes(ends[0].user_json) == b'{"id":"ann","name":"A | n"}'
    assert bytes(ends[0].details_json) == b'{"to_user":{},"gift":{"id":"rose"}}'


def test_the_counters_of_a_partition_go_on(client: redis.Redis) -> None:
    live = Live(client, armed=False)
    fields = {"epoch": 3, "n": 8, "n_max": 100, "gifts": 5, "coins": 25, "relayed": "3-7", "relayed_n": 7}
    fields |= {"booked": "3-8", "booked_n": 8, "generation": 2, "backlog_max": 100}
    live.run("HSET", keys.meta(live.root), *[part for pair in fields.items() for part in pair])
    assert live.call("partition_state")[:7] == [b"0", b"3", b"8", b"3-7", b"3-8", b"5", b"25"]
    assert live.credit("ann", 5).message == "the partition is not armed"  # type: ignore[union-attr]
    assert live.call("partition_disarm", "token") == [b"3", b"8"]
    with pytest.raises(redis.ResponseError, match="has epoch 3, not below 3"):
        live.call("partition_arm", 3, 7, 1000, "token", 8, "ab")
    live.arm(4)
    assert live.meta("epoch", "n", "n_max", "gifts", "coins", "relayed") == ["4", "8", "1000007", "5", "25", "3-7"]
    assert not live.run("HMGET", keys.meta(live.root), "epoch", "n", "gifts", "coins", "n_max")[0]
    assert live.credit("ann", 5) == Accepted("7-4-9", 5, 5, 1)


def test_a_new_wallet_is_as_small_as_it_can_be(live: Live) -> None:
    live.credit("ann", 10**12)
    for number in range(20):
        live.gift(GiftSend("ann", str(number), HASH, "r1", "dan", "rose", 1, 1, 1, streakable=False))
    assert live.run("STRLEN", keys.wallet(live.root, "ann")) < 32
