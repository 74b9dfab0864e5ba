"""Several gifts in one entry of the journal: when they are appended together, and what if they can not be."""

import pytest
import redis

from livegift.contract.journal import GiftSent
from livegift.domain.allowances import Caps, Policy
from livegift.domain.partitions import Position
from livegift.domain.spending import Accepted
from livegift.runtime.event_ids import KEY_BYTES
from livegift.store import functions, keys
from livegift.store.client import Store
from livegift.store.link import Link
from livegift.store.outbox import Outbox
from livegift.store.repair import Repair
from livegift.store.wallets import Outcome, Unknown, parse_outcome
from tests.store.live import Live, codes, positions
from tests.store.test_wallet_guards import assert_takes_no_money, gift


@pytest.fixture
def live(client: redis.Redis) -> Live:
    made = Live(client)
    for user in ("ann", "bob", "cyd"):
        made.credit(user, 100)
    return made


def ids(live: Live) -> list[str]:
    """The ids of the entries, without those of the credits."""
    return [row[0].decode() for row in live.run("XRANGE", keys.outbox(live.root), "1-4", "+")]


def test_the_gifts_of_a_call_are_one_entry(live: Live) -> None:
    outcomes = live.gifts([gift("1"), gift("2", "bob", streakable=True), gift("3", price=1000), gift("4")])
    assert codes(outcomes) == ["", "", "insufficient_coins", ""]
    assert ids(live) == ["1-6"]
    assert positions(live.rows("1-3")) == [Position(1, n) for n in (4, 5, 6)]
    assert live.call("partition_state")[8] == b"0", "the outbox has every entry"
    live.advance("booked", "1-6")
    live.advance("relayed", "1-5")
    assert live.call("outbox_trim", "1-6") == 3, "an entry stays while a reader needs a gift of it"
    assert ids(live) == ["1-6"]
    assert live.call("partition_state")[8] == b"3", "the n after which it has every entry"


def test_the_end_of_a_streak_comes_between_the_gifts_before_and_after_it(live: Live) -> None:
    live.gift(gift("old", streakable=True), 1)
    live.pass_ms(2)
    live.gifts([gift("1", "bob"), gift("2", "cyd"), gift("3", streakable=True), gift("4", "bob")])
    assert ids(live) == ["1-4", "1-6", "1-7", "1-9"]
    kinds = [entry.kind for entry in live.journal()[3:]]
    assert kinds == ["gift", "gift", "gift", "streak_end", "gift", "gift"]
    assert live.meta("n", "gifts") == ["9", "5"]


def test_each_gift_has_the_day_of_its_own_region(live: Live) -> None:
    days = (20261130, 20261201, 0, 20261129)
    live.gifts([gift(str(day), "ann", policy=Policy(day, Caps())) for day in days])
    entries = [row.entry for row in live.rows("1-3")]
    # A wallet's day never goes back.
    assert [e.day for e in entries if isinstance(e, GiftSent)] == [20261130, 20261201, 0, 20261201]


def test_a_ref_twice_in_a_call_is_one_gift(live: Live) -> None:
    first, again, conflict = live.gifts([gift("1"), gift("1"), gift("1", payload_hash="bb")])
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert codes([conflict]) == ["ref_conflict"]
    assert ids(live) == ["1-4"]


def test_a_repeat_is_answered_although_its_streak_is_over(live: Live) -> None:
    first = live.gift(gift("1", streakable=True), 1)
    live.pass_ms(2)
    before = live.dump()
    again = live.gift(gift("1", streakable=True))
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert again.duplicate
    assert live.dump() == before, "it does not even end the streak"


# --- The journal does not take them -----------------------------------------------------------------------------------


def broken(live: Live) -> set[str]:
    return {member.decode().rpartition(" ")[0] for member in live.run("SMEMBERS", keys.broken(live.root))}


def block(live: Live, n: int) -> None:
    """Nothing up to `n` can be appended."""
    live.run("XADD", keys.outbox(live.root), f"1-{n}", "e", "[]")


def assert_unknown(outcomes: list[Outcome]) -> None:
    assert all(isinstance(outcome, Unknown) for outcome in outcomes), outcomes


def test_all_gifts_of_the_call_are_unknown_and_noted(live: Live) -> None:
    block(live, 9)
    counters, wallets = live.counters(), [live.run("GET", keys.wallet(live.root, user)) for user in ("ann", "bob")]
    assert_unknown(live.gifts([gift("1"), gift("2", "bob", streakable=True), gift("1"), gift("3", price=1000)]))
    assert broken(live) == {"ann 1", "bob 2"}
    assert live.counters() == counters
    assert [live.run("GET", keys.wallet(live.root, user)) for user in ("ann", "bob")] == wallets
    assert_takes_no_money(live)


def test_what_an_earlier_entry_of_the_call_has_counts(live: Live) -> None:
    live.gift(gift("old", streakable=True), 1)
    live.pass_ms(2)
    # The first gift and the end of the streak fit, and nothing behind them.
    send = [gift("1", "bob"), gift("2", streakable=True), gift("3", "cyd")]
    live.run("FUNCTION", "LOAD", "REPLACE", functions.source("wallets").replace(STEP, BLOCKED))
    live.arm(2)
    first, *rest = live.gifts(send)
    live.run("FUNCTION", "LOAD", "REPLACE", functions.source("wallets"))
    assert isinstance(first, Accepted)
    assert_unknown(rest)
    assert broken(live) == {"ann 2", "cyd 3"}
    assert live.meta("n", "gifts") == ["6", "2"], "two gifts and the end of a streak"
    assert [entry.kind for entry in live.journal()] == [*["change"] * 3, "gift", "gift", "streak_end"]
    assert live.wallet("bob") == (95, 2, False)
    assert live.wallet("cyd") == (100, 1, False)


# After the end of a streak nothing more can be appended.
STEP = "  partition.appended_n = partition.n\n"
BLOCKED = STEP + "  partition.outbox = partition.root .. ':counters'  -- not a stream\n"


async def test_the_first_ref_of_an_hour_is_forgotten_as_well(store: Store, client: redis.Redis) -> None:
    """The stored wallet does not have the hour yet: an answer that stayed would be given for a gift that never was."""
    live = Live(client)
    live.credit("ann", 100)
    live.run("SET", keys.wallet(live.root, "ann"), "100|1|||")  # the hours before are over
    block(live, 9)
    assert_unknown(live.gifts([gift("1"), gift("2")]))
    live.call("partition_disarm", "token")
    repair = Repair(store, live.root, live.number, "token")
    await repair.forget_broken(await repair.broken())
    live.run("DEL", keys.outbox(live.root))
    live.arm(2)
    again = live.gift(gift("1"))
    assert isinstance(again, Accepted)
    assert not again.duplicate
    assert live.wallet("ann") == (95, 2, False)


async def test_an_answer_that_counts_is_kept_when_its_repeat_fails(store: Store, client: redis.Redis) -> None:
    """A state that nobody can read fails the repeat of a gift; forgetting its ref would debit it once more."""
    live = Live(client)
    live.credit("ann", 100)
    send = gift("1", streakable=True)
    first = live.gift(send)
    assert isinstance(first, Accepted)
    (key,) = live.streaks()
    live.run("SET", keys.streak(live.root, key), "garbled")
    new, *rest = live.gifts([gift("2"), send, gift("2")])
    assert isinstance(new, Accepted)
    assert_unknown(rest)
    assert live.wallet("ann") == (90, 3, False)
    live.call("partition_disarm", "token")
    repair = Repair(store, live.root, live.number, "token")
    refs = await repair.broken()
    assert [ref.user for ref in refs] == ["ann"], "its wallet is put right"
    await repair.forget_broken(refs)
    live.arm(2)
    for ref in (send, gift("2")):
        again = live.gift(ref)
        assert isinstance(again, Accepted)
        assert again.duplicate
    assert live.wallet("ann") == (90, 3, False)


async def test_what_version_1_has_noted_is_forgotten(store: Store, client: redis.Redis) -> None:
    live = Live(client)
    live.credit("ann", 100)
    live.gift(gift("1"))
    live.run("SADD", keys.broken(live.root), "ann 1", "bob ")
    live.call("partition_disarm", "token")
    repair = Repair(store, live.root, live.number, "token")
    await repair.forget_broken(await repair.broken())
    live.arm(2)
    again = live.gift(gift("1"))
    assert isinstance(again, Accepted)
    assert not again.duplicate


# --- A part of an entry counts ----------------------------------------------------------------------------------------


async def accept(store: Store, live: Live, refs: str) -> None:
    replies = await store.call(live.gifts_command([gift(ref) for ref in refs]))
    assert all(isinstance(parse_outcome(reply), Accepted) for reply in replies)


async def read_after(outbox: Outbox, link: Link, cursor: Position) -> list[Position]:
    found = await outbox.read(link, {0: cursor}, 100)
    return [row.position for row in found.get(0, [])]


async def test_of_an_entry_that_goes_beyond_what_counts_the_part_before_stays(
    store: Store, client: redis.Redis
) -> None:
    """A bisected batch has moved the checkpoint into an entry, and Redis was then replaced by one without it."""
    outbox = Outbox(store, 1)
    root = outbox.roots[0]
    live = Live(client, number=0, armed=False)
    live.root = root
    token, _ = await outbox.disarm(0)
    await outbox.arm(0, Position(1, 0), token, 1000, bytes(KEY_BYTES))
    live.credit("ann", 100)
    await accept(store, live, "abc")
    await accept(store, live, "defg")  # 5 to 8
    await accept(store, live, "h")
    token, said = await outbox.disarm(0)
    assert said == Position(1, 9)
    repair = Repair(store, root, 0, token)
    rows = await repair.diverged(6, 9)
    assert positions(rows) == [Position(1, n) for n in (7, 8, 9)]
    assert [ref for row in rows if isinstance(row.entry, GiftSent) for ref in row.entry.ref] == ["f", "g", "h"]
    await repair.forget(rows)
    await repair.put_position(6, Position(3, 8), 5, 25)  # the ledger has 7 and 8 of another branch
    link = await store.nodes[0].link().open()
    try:
        # A ledger that is set back reads it from anywhere, once.
        for n in range(8):
            expected = [Position(1, at) for at in range(n + 1, 7)]
            assert await read_after(outbox, link, Position(1, n)) == expected
            first = await outbox.first_after(0, Position(1, n))
            assert first == (expected[0] if expected else None)
        await outbox.arm(0, Position(4, 8), token, 1000, bytes(KEY_BYTES))
        await accept(store, live, "fg")
        after = [Position(4, 9), Position(4, 10)]
        assert await read_after(outbox, link, Position(1, 5)) == [Position(1, 6), *after]
        assert await read_after(outbox, link, Position(1, 6)) == after
        assert await read_after(outbox, link, Position(3, 8)) == after
    finally:
        await link.close()
