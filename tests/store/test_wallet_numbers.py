"""Numbers in arguments: decimal digits up to the ceiling, and nothing else."""

import pytest
import redis

from livegift.contract.bounds import AMOUNT_MAX
from livegift.domain.spending import Accepted, Change, GiftSend, Refused
from livegift.store.wallets import parse_outcome
from tests.store.live import NEVER_MS, REF_TTL_S, Live, call

# Arguments as text, which the typed calls would never send.
WRONG = ["0x10", "nan", "NaN", "inf", "1.5", "-1", "-0x10", "", " 1", "1 ", "1\n", "+1", "1e3", "1_000", "one", "٣"]
TOO_LARGE = [
    "1" + 14 * "0",
    "1" * 15,
    "0" * 14 + "1",
    str(AMOUNT_MAX + 1),
    str(2**53 - 1),
    str(2**53),
    str(2**53 + 1),
    "9" * 400,
]


def raw_gift(live: Live, *, cost: str = "5", count: str = "1", **head: str) -> tuple[str | int, ...]:
    options = {
        "now": str(live.now_ms()),
        "difference": "60000",
        "timeout": str(NEVER_MS),
        "ttl": str(REF_TTL_S),
        **head,
    }
    fragment = '"ann","ref","r1","dan","rose",1,5,5,0,"aa",0,\nnull'
    fields = ("ann", "ref", "aa", cost, count, "r1|rose|dan|0|ann", "", fragment)
    return call("gift_send", live.root, *options.values(), *fields)  # type: ignore[return-value]


@pytest.fixture
def live(client: redis.Redis) -> Live:
    made = Live(client)
    made.credit("ann", 1000)
    return made


@pytest.mark.parametrize("text", [*WRONG, *TOO_LARGE])
@pytest.mark.parametrize("field", ["cost", "count"])
def test_a_gift_with_such_a_number_is_invalid(live: Live, field: str, text: str) -> None:
    before = live.dump()
    (reply,) = live.run(*raw_gift(live, **{field: text}))
    assert parse_outcome(reply) == Refused("invalid", 1000)
    assert live.dump() == before
    assert live.is_armed


@pytest.mark.parametrize("text", [*WRONG, *TOO_LARGE, "0", "00"])
def test_a_credit_with_such_a_number_is_invalid(live: Live, text: str) -> None:
    before = live.dump()
    reply = live.call("wallet_credit", REF_TTL_S, "ann", "ref", "aa", text, "grant")
    assert parse_outcome(reply) == Refused("invalid", 1000)
    assert live.dump() == before
    assert live.is_armed


@pytest.mark.parametrize(
    "text", sorted({*WRONG, *TOO_LARGE, "0", "-0", "--1", "-", "-1.5", "-nan", f"-{AMOUNT_MAX + 1}"} - {"-1"})
)
def test_a_correction_with_such_a_number_is_invalid(live: Live, text: str) -> None:
    before = live.dump()
    reply = live.call("wallet_correct", REF_TTL_S, "ann", "ref", "aa", text, "correction", "1")
    assert parse_outcome(reply) == Refused("invalid", 1000)
    assert live.dump() == before
    assert live.is_armed


@pytest.mark.parametrize("text", ["0x10", "nan", ""])
@pytest.mark.parametrize("option", ["now", "difference", "timeout", "ttl"])
def test_a_call_with_such_an_option_writes_nothing(live: Live, option: str, text: str) -> None:
    before = live.dump()
    try:
        (reply,) = live.run(*raw_gift(live, **{option: text}))
    except redis.ResponseError:
        pass
    else:
        assert isinstance(parse_outcome(reply), Refused)
    assert live.dump() == before
    assert live.is_armed


@pytest.mark.parametrize("text", ["0x10", "nan", "1.5", "", "-7"])
def test_no_partition_is_armed_under_such_an_epoch(live: Live, text: str) -> None:
    before = live.dump()
    live.call("partition_disarm", "token")
    with pytest.raises(redis.ResponseError):
        live.run(*call("partition_arm", live.root, text, 7, 1000, "token", 0, "ab"))
    assert live.dump() == before


@pytest.mark.parametrize("text", ["1-0x10", "1", "-", "1-", "-1", "1-1-1", "a-b", "1.5-1", "", "1--1"])
@pytest.mark.parametrize("function", ["advance", "trim"])
def test_such_a_position_moves_nothing(live: Live, function: str, text: str) -> None:
    live.gift(send("1", 1))
    live.advance("relayed", "1-2")
    live.advance("booked", "1-2")
    before = live.dump()
    with pytest.raises(redis.ResponseError):
        live.call(*(("cursor_advance", "booked", text) if function == "advance" else ("outbox_trim", text)))
    assert live.dump() == before


# --- At the ceiling ---------------------------------------------------------------------------------------------------


def send(ref: str, price: int, count: int = 1, diamond_count: int = 1) -> GiftSend:
    return GiftSend("ann", ref, "aa", "r1", "dan", "rose", price, count, diamond_count, streakable=False)


@pytest.mark.parametrize("coins", [AMOUNT_MAX - 1, AMOUNT_MAX])
def test_a_full_wallet_is_exact_to_the_coin(client: redis.Redis, coins: int) -> None:
    live = Live(client)
    assert live.credit("ann", coins) == Accepted("7-1-1", coins, coins, 1)
    assert live.wallet("ann") == (coins, 1, False)
    assert live.gift(send("one", 1)) == Accepted("7-1-2", 1, coins - 1, 2, "7-1-2", 1)
    assert live.gift(send("rest", coins - 1)) == Accepted("7-1-3", coins - 1, 0, 3, "7-1-3", 1)
    assert live.gift(send("more", 1)) == Refused("insufficient_coins", 0, 1)
    assert [entry.balance for entry in live.journal()] == [coins, coins - 1, 0]
    assert live.meta("coins") == [str(coins)]


def test_nothing_goes_above_the_ceiling(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", AMOUNT_MAX)
    before = live.dump()
    assert live.credit("ann", 1, "more") == Refused("invalid", AMOUNT_MAX)
    assert live.credit("bob", AMOUNT_MAX + 1) == Refused("invalid", 0)
    assert live.gift(send("a", AMOUNT_MAX + 1)) == Refused("invalid", AMOUNT_MAX)
    assert live.gift(send("b", AMOUNT_MAX // 2 + 1, 2)) == Refused("invalid", AMOUNT_MAX)
    assert live.gift(send("c", AMOUNT_MAX, 999)) == Refused("invalid", AMOUNT_MAX)
    assert live.gift(send("d", 1, 999, AMOUNT_MAX)) == Refused("invalid", AMOUNT_MAX)
    assert live.dump() == before


def test_a_debt_is_exact_to_the_coin_and_has_a_floor(client: redis.Redis) -> None:
    live = Live(client)
    for ref, delta, balance in (("a", -AMOUNT_MAX, -AMOUNT_MAX), ("b", 1, 1 - AMOUNT_MAX), ("c", -1, -AMOUNT_MAX)):
        change = Change("ann", ref, "aa", delta, "refund", overdraw=True)
        outcome = live.change(change)
        assert isinstance(outcome, Accepted)
        assert (outcome.coins, outcome.balance) == (delta, balance)
    assert live.change(Change("ann", "d", "aa", -1, "refund", overdraw=True)) == Refused("invalid", -AMOUNT_MAX)
    assert live.wallet("ann") == (-AMOUNT_MAX, 3, False)  # a debt freezes nothing: it is told by the balance
    again = live.change(Change("ann", "a", "aa", -AMOUNT_MAX, "refund", overdraw=True))
    assert again == Accepted("7-1-1", -AMOUNT_MAX, -AMOUNT_MAX, 3, duplicate=True)


def test_sums_of_a_partition_stay_exact_beyond_the_ceiling(client: redis.Redis) -> None:
    live = Live(client)
    for number in range(3):
        live.credit("ann", AMOUNT_MAX, f"c{number}")
        live.gift(send(f"g{number}", AMOUNT_MAX))
    live.credit("ann", 1, "last")
    live.gift(send("last", 1))
    assert live.meta("gifts", "coins") == ["4", str(3 * AMOUNT_MAX + 1)]


def test_a_long_streak_counts_on(client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", AMOUNT_MAX)
    for number in range(12):
        sent = GiftSend("ann", str(number), "aa", "r1", "dan", "rose", 1, 999, 1, streakable=True)
        outcome = live.gift(sent)
        assert isinstance(outcome, Accepted)
        assert outcome.repeat_count == 999 * (number + 1), "also above the numbers that are kept as text"
