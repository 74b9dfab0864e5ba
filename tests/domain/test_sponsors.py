"""Sponsor matches: never more than the budget, nothing made or destroyed, whatever comes in whatever order."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw

from livegift.contract.journal import GiftSent, WalletChanged
from livegift.domain.postings import Transfer, sums
from livegift.features.sponsors.rules import (
    Match,
    Matched,
    Posting,
    account_of,
    end,
    forgotten,
    fund,
    funding_ref,
    give_back,
    is_exhausted,
    match_gifts,
    match_id_of,
    matched_transfers,
    return_ref,
    take_back,
    taken_back_transfers,
)
from tests.domain.operations import quick

JSON = Raw(b"{}")
BUDGET = 100
NEW = Match("m1", "r1", "brand", "rose", 1, BUDGET, 0, None)
PRICES = {"rose": (1, 1), "heart": (5, 5), "odd": (7, 3)}


def gift(user: str = "ann", gift_id: str = "rose", count: int = 1, to: str = "cho", ts_ms: int = 5) -> GiftSent:
    coins, diamonds = PRICES[gift_id]
    # fmt: off
    return GiftSent(
        user, 1, 0, "ref", "r1", to, gift_id, count, coins * count, diamonds * count, "0-1-1", 1, repeat_end=True,
        anonymous=False, ts_ms=ts_ms, user_json=JSON, details_json=JSON, message_json=JSON,
    )
    # fmt: on


def entry(delta: int, user: str = "brand") -> WalletChanged:
    return WalletChanged(user, 1, 0, "ref", delta, "sponsor", 5)


def active(match: Match = NEW) -> Match:
    return fund(match, entry(-match.budget_coins), 3).match


def match_gift(match: Match, sent: GiftSent) -> tuple[Match, Matched | None]:
    """One match and one gift."""
    after, added = match_gifts([match], [sent])
    return after[match.id], added[0][1] if added else None


def transfers_of(added: Matched, creator: str = "cho") -> tuple[Transfer, ...]:
    return matched_transfers(added.match_id, added.coins, added.diamonds, 7, creator)


gifts = st.lists(
    st.builds(
        gift, st.sampled_from(("ann", "ben", "brand", "cho")), st.sampled_from(sorted(PRICES)), st.integers(1, 40)
    ),
    max_size=12,
)
matches = st.builds(
    replace,
    st.just(NEW),
    id=st.sampled_from(("m1", "m2", "m3")),
    gift_id=st.sampled_from((None, "rose", "heart")),
    factor=st.integers(1, 9),
    budget_coins=st.integers(1, 200),
)


# --- Which gifts, and how many ----------------------------------------------------------------------------------------


def test_as_many_as_were_sent_times_the_factor() -> None:
    match, added = match_gift(active(replace(NEW, factor=3)), gift(count=4))
    assert added is not None
    assert (added.units, added.coins, added.diamonds) == (12, 12, 12)
    assert (match.used_coins, match.used_diamonds, match.remaining_coins) == (12, 12, 88)


def test_only_whole_gifts_are_added() -> None:
    match, added = match_gift(active(replace(NEW, gift_id="odd", budget_coins=20)), gift(gift_id="odd", count=5))
    assert added is not None
    assert (added.units, added.coins, added.diamonds) == (2, 14, 6)
    assert is_exhausted(match, 7)
    assert not is_exhausted(match, 6)


@pytest.mark.parametrize(
    ("match", "sent"),
    [
        (NEW, gift()),  # not paid yet
        (end(active()).match, gift()),
        (active(replace(NEW, room="r2")), gift()),
        (active(replace(NEW, gift_id="heart")), gift()),
        (active(), gift(user="brand")),
        (active(), gift(user="cho", to="cho")),
        (active(), gift(to="brand")),
        (active(replace(NEW, starts_ms=6)), gift(ts_ms=5)),
        (active(replace(NEW, starts_ms=1, ends_ms=5)), gift(ts_ms=5)),
    ],
)
def test_what_is_not_matched(match: Match, sent: GiftSent) -> None:
    assert match_gift(match, sent) == (match, None)


@quick
@given(st.lists(matches, max_size=3, unique_by=lambda match: match.id), gifts)
def test_never_more_than_the_budget_and_nothing_is_made_or_destroyed(given_: list[Match], sent: list[GiftSent]) -> None:
    begun = [active(match) for match in given_]
    after, added = match_gifts(begun, sent)
    assert list(after) == [match.id for match in begun]
    moves = [move for index, a in added for move in transfers_of(a, sent[index].to)]
    totals: Counter[str] = Counter()
    changes = sums(moves)
    for (_, asset), change in changes.items():
        totals[asset] += change
    assert not any(totals.values())
    for match in after.values():
        mine = [a for _, a in added if a.match_id == match.id]
        assert match.used_coins == sum(a.coins for a in mine) <= match.budget_coins
        assert match.used_diamonds == sum(a.diamonds for a in mine)
        assert changes.get((account_of(match.id), "COIN"), 0) == -match.used_coins
    for index, a in added:
        factor = after[a.match_id].factor
        assert 0 < a.units <= sent[index].count * factor
        assert a.coins * sent[index].count == a.units * sent[index].coins


@quick
@given(gifts, st.randoms(use_true_random=False), st.integers(1, 9))
def test_the_total_of_one_kind_does_not_depend_on_the_order(sent: list[GiftSent], rng: object, factor: int) -> None:
    """However gifts of one price are ordered and cut into batches, the same coins are used."""
    roses = [g for g in sent if g.gift_id == "rose"]
    shuffled = list(roses)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    match = active(replace(NEW, factor=factor))
    one, _ = match_gifts([match], roses)
    other = match
    for each in shuffled:
        other, _ = match_gift(other, each)
    assert one["m1"].used_coins == other.used_coins
    wanted = sum(g.count * factor for g in roses if g.user not in ("brand", "cho"))
    assert other.used_coins == min(wanted, BUDGET)


@quick
@given(st.lists(matches, min_size=2, max_size=3, unique_by=lambda match: match.id), gifts)
def test_matches_do_not_mind_each_other(given_: list[Match], sent: list[GiftSent]) -> None:
    begun = [active(match) for match in given_]
    together, _ = match_gifts(begun, sent)
    for match in begun:
        assert together[match.id] == match_gifts([match], sent)[0][match.id]


# --- Its way ----------------------------------------------------------------------------------------------------------


class World:
    """The pure functions with a wallet and accounts, as the stores are around them. The ledger may be set back."""

    def __init__(self) -> None:
        self.match = NEW
        self.added: list[tuple[str, Matched]] = []
        self.saved = (NEW, Counter[str](), set[tuple[str, str]](), self.added)
        self.accounts: Counter[str] = Counter()
        self.posted: set[tuple[str, str]] = set()
        self.refs: dict[str, int] = {}
        self.journal: list[int] = []
        self.booked = 0

    def post(self, postings: tuple[Posting, ...]) -> None:
        for posting in postings:
            assert (posting.reason, posting.ref) not in self.posted, f"{posting} is posted twice"
            self.posted.add((posting.reason, posting.ref))
            self.move(posting.transfers)

    def move(self, moves: tuple[Transfer, ...]) -> None:
        for (name, _), change in sums(moves).items():
            self.accounts[name] += change

    def change_wallet(self, ref: str, delta: int) -> None:
        if ref not in self.refs:
            self.refs[ref] = delta
            self.journal.append(delta)

    def pay(self) -> None:
        if self.match.status == "funding":
            self.change_wallet(funding_ref("m1"), -BUDGET)

    def give_back(self) -> None:
        if self.match.due_coins:
            self.change_wallet(return_ref(self.match), self.match.due_coins)

    def book(self) -> None:
        if self.booked == len(self.journal):
            return
        delta = self.journal[self.booked]
        self.booked += 1
        self.accounts["coins:user:brand"] += delta
        self.accounts["coins:sponsored:p3"] -= delta
        transition = fund(self.match, entry(delta), 3) if delta < 0 else give_back(self.match, entry(delta))
        self.match = transition.match
        self.post(transition.postings)

    def gift(self, count: int) -> None:
        self.match, added = match_gift(self.match, gift(count=count))
        if added is not None:
            self.move(transfers_of(added))
            self.added = [*self.added, (f"c{len(self.posted)}-{len(self.added)}", added)]
        if self.match.status == "active" and is_exhausted(self.match, 1):
            self.end("exhausted")

    def revoke(self, which: int) -> None:
        """A gift that was matched is revoked, whatever has become of the match."""
        if self.added:
            revocation, added = self.added[which % len(self.added)]
            self.added = [pair for pair in self.added if pair[0] != revocation]
            self.move(taken_back_transfers(added, 7, "cho"))
            transition = take_back(self.match, added, revocation)
            self.match = transition.match
            self.post(transition.postings)

    def end(self, status: str = "ended") -> None:
        transition = end(self.match, status)  # type: ignore[arg-type]
        self.match = transition.match
        self.post(transition.postings)

    def save(self) -> None:
        self.saved = (self.match, Counter(self.accounts), set(self.posted), self.added)
        self.saved_booked = self.booked

    def set_back(self) -> None:
        """The ledger becomes what it was; the journal still has everything."""
        self.match, accounts, posted, self.added = self.saved
        self.accounts, self.posted = Counter(accounts), set(posted)
        self.booked = getattr(self, "saved_booked", 0)

    def finish(self) -> None:
        for _ in range(12):
            while self.booked < len(self.journal):
                self.book()
            self.end()
            self.give_back()


acts = st.lists(
    st.one_of(
        st.sampled_from([(name,) for name in ("pay", "book", "end", "give_back", "save", "set_back")]),
        st.tuples(st.just("gift"), st.integers(1, 60)),
        st.tuples(st.just("revoke"), st.integers(0, 3)),
    ),
    max_size=16,
)


@quick
@given(acts)
def test_whatever_dies_or_is_set_back_coins_are_used_or_given_back(happened: list[tuple[object, ...]]) -> None:
    world = World()
    for name, *args in happened:
        getattr(world, str(name))(*args)
    world.finish()
    match, accounts = world.match, world.accounts
    loss = -accounts["coins:sponsor_loss"]
    assert accounts[account_of("m1")] == 0
    assert accounts["coins:sponsored:p3"] == 0
    assert loss == max(match.returned_coins - match.remaining_coins, 0)
    assert loss == 0 or ("set_back",) in happened
    paid = BUDGET if world.refs else 0
    assert accounts["coins:user:brand"] == match.returned_coins - paid
    assert accounts["diamonds:user:cho"] == match.used_diamonds == match.used_coins
    assert accounts["coins:spent:p7"] == match.used_coins <= BUDGET
    if match.partition is not None:
        assert match.status == "returned" or not match.remaining_coins
    assert sum(balance for name, balance in accounts.items() if name.startswith("coins:")) == 0


@quick
@given(gifts, st.integers(1, 9))
def test_revoking_all_gifts_leaves_nothing_of_a_match(sent: list[GiftSent], factor: int) -> None:
    begun = active(replace(NEW, gift_id=None, factor=factor))
    matched, added = match_gifts([begun], sent)
    match, moves = matched["m1"], [move for _, each in added for move in transfers_of(each)]
    for index, each in added:
        moves += taken_back_transfers(each, 7, "cho")
        match = take_back(match, each, str(index)).match
    assert match == begun
    assert set(sums(moves).values()) <= {0}


def test_what_comes_free_of_a_match_that_was_given_back_is_due_once_more() -> None:
    match, added = match_gift(active(), gift(count=30))
    assert added is not None
    over = give_back(end(match).match, entry(70)).match
    assert (over.status, over.due_coins) == ("returned", 0)
    transition = take_back(over, added, "c1")
    assert (transition.match.status, transition.match.due_coins, return_ref(transition.match)) == (
        "ended",
        30,
        "sponsor-return:m1:70",
    )
    assert [(posting.reason, posting.ref) for posting in transition.postings] == [("sponsor_return", "m1:revoked:c1")]
    assert give_back(transition.match, entry(30)).match.status == "returned"
    with pytest.raises(ValueError, match="can't be taken back"):
        take_back(transition.match, added, "c2")


@quick
@given(st.integers(1, BUDGET), st.integers(0, 1))
def test_only_its_own_payment_funds_a_match(coins: int, again: int) -> None:
    match = active() if again else NEW
    assume(again or coins != BUDGET)
    with pytest.raises(ValueError, match="expected one payment of"):
        fund(match, entry(-coins), 3)


def test_nobody_elses_payment_or_credit_counts() -> None:
    with pytest.raises(ValueError, match="by brand"):
        fund(NEW, entry(-BUDGET, "ann"), 3)
    with pytest.raises(ValueError, match="for brand"):
        give_back(active(), entry(5, "ann"))


def test_it_starts_with_its_payment_unless_a_time_is_given() -> None:
    assert active(replace(NEW, starts_ms=None)).starts_ms == 5
    assert active(replace(NEW, starts_ms=7)).starts_ms == 7


def test_a_return_of_nothing_that_was_paid_is_refused() -> None:
    with pytest.raises(ValueError, match="expected none"):
        give_back(NEW, entry(5))


def test_a_payment_that_nobody_remembers_is_given_back() -> None:
    transition = fund(forgotten("m1", "brand", 40), entry(-40), 3)
    assert (transition.match.status, transition.match.due_coins) == ("ended", 40)
    assert match_gift(transition.match, gift())[1] is None
    assert [posting.reason for posting in transition.postings] == ["sponsor", "sponsor_return"]


def test_refs_tell_their_match() -> None:
    assert match_id_of(funding_ref("m1")) == "m1"
    assert match_id_of(return_ref(active())) == "m1"
    assert match_id_of(return_ref(replace(active(), returned_coins=5))) == "m1"
