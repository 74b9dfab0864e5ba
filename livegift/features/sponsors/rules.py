"""The rules of sponsor matches: a brand adds to what viewers give, up to a budget. Pure.

From the booking of its funding until its end, the coins of a match are in an account of its own, `coins:match:<id>`.
Every event of a match moves coins between that account, the sponsor's and the creators', in one posting each.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from livegift.contract.journal import GiftSent, WalletChanged
from livegift.domain.postings import COIN, DIAMOND, Transfer, diamonds_of

Status = Literal["funding", "active", "exhausted", "ended", "returned"]
# The reasons of the sponsor's wallet's changes; the same words name the postings between the accounts.
FUNDED = "sponsor"
RETURNED = "sponsor_return"
LOST = "sponsor_loss"
REASONS = {FUNDED: "coins:sponsored", RETURNED: "coins:sponsored"}
LOSSES = "coins:sponsor_loss"


@dataclass(frozen=True, slots=True)
class Match:
    """The terms of a match and its state.

    `factor` gifts are added to each (1 doubles). `starts_ms` is None for a match that starts when its sponsor pays,
    until then. `partition` is that of the sponsor's wallet, None until the payment is booked. `returned_coins` is what
    the sponsor's wallet got back.
    """

    id: str
    room: str
    sponsor: str
    gift_id: str | None
    factor: int
    budget_coins: int
    starts_ms: int | None
    ends_ms: int | None
    status: Status = "funding"
    used_coins: int = 0
    used_diamonds: int = 0
    returned_coins: int = 0
    partition: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the match is neither over nor about to be."""
        return self.status in ("funding", "active")

    @property
    def remaining_coins(self) -> int:
        """Return the part of the budget that no gift has used."""
        return self.budget_coins - self.used_coins

    @property
    def due_coins(self) -> int:
        """Return the coins that are now due to the sponsor's wallet."""
        if self.is_open or self.partition is None:
            return 0
        return max(self.remaining_coins - self.returned_coins, 0)


@dataclass(frozen=True, slots=True)
class Posting:
    """Transfers that touch no wallet, made together and once for (reason, ref)."""

    reason: str
    ref: str
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class MatchTransition:
    """A match after an event, and the postings that follow from it."""

    match: Match
    postings: tuple[Posting, ...] = ()


class Matched(NamedTuple):
    """A match's addition to one gift: `units` more of them, paid by the sponsor."""

    match_id: str
    units: int
    coins: int
    diamonds: int


def account_of(match_id: str) -> str:
    """Return the account of the coins that a match has left."""
    return f"coins:match:{match_id}"


def _sponsored(partition: int) -> str:
    return f"{REASONS[FUNDED]}:p{partition}"


def funding_ref(match_id: str) -> str:
    """Return the ref under which the sponsor's wallet pays."""
    return f"{FUNDED}:{match_id}"


def return_ref(match: Match) -> str:
    """Return the ref under which the sponsor's wallet gets back what is due.

    There is more than one only when the match has used less afterwards: a gift was revoked, or a ledger that was set
    back has matched less the second time.
    """
    return f"sponsor-return:{match.id}" + (f":{match.returned_coins}" if match.returned_coins else "")


def match_id_of(ref: str) -> str:
    """Return the match of a `funding_ref` or `return_ref`. Ids of matches have no colons."""
    return ref.partition(":")[2].partition(":")[0]


# --- What it adds to gifts --------------------------------------------------------------------------------------------


def added_to(match: Match, used_coins: int, gift: GiftSent) -> Matched | None:
    """Return what a match that has used `used_coins` adds to `gift`; None for nothing.

    Only gifts between two people other than the sponsor count, sent from `starts_ms` to before `ends_ms`.
    """
    counts = (
        match.status == "active"
        and match.room == gift.room
        and match.gift_id in (None, gift.gift_id)
        and gift.user not in (match.sponsor, gift.to)
        and gift.to != match.sponsor
        and (match.starts_ms or 0) <= gift.ts_ms
        and (match.ends_ms is None or gift.ts_ms < match.ends_ms)
    )
    price = gift.coins // gift.count
    if not counts or price <= 0:
        return None
    units = min(gift.count * match.factor, (match.budget_coins - used_coins) // price)
    if units <= 0:
        return None
    return Matched(match.id, units, units * price, units * (gift.diamonds // gift.count))


def match_gifts(
    matches: Iterable[Match], gifts: Iterable[GiftSent]
) -> tuple[dict[str, Match], list[tuple[int, Matched]]]:
    """Apply matches to gifts, both in order. Returns the matches afterwards, and (index, addition) of the gifts."""
    known = {match.id: match for match in matches}
    of_room: dict[str, list[Match]] = {}
    for match in known.values():
        of_room.setdefault(match.room, []).append(match)
    # Summed up here: a new value for each gift would cost as much as booking it.
    coins = {match.id: match.used_coins for match in known.values()}
    diamonds = {match.id: match.used_diamonds for match in known.values()}
    found: list[tuple[int, Matched]] = []
    for index, gift in enumerate(gifts):
        for match in of_room.get(gift.room, ()):
            added = added_to(match, coins[match.id], gift)
            if added is not None:
                coins[match.id] += added.coins
                diamonds[match.id] += added.diamonds
                found.append((index, added))
    after = {
        match.id: replace(match, used_coins=coins[match.id], used_diamonds=diamonds[match.id])
        for match in known.values()
    }
    return after, found


def matched_transfers(match_id: str, coins: int, diamonds: int, partition: int, creator: str) -> tuple[Transfer, ...]:
    """Return the transfers of what was added to gifts of `partition` to `creator`."""
    paid = Transfer(COIN, account_of(match_id), f"coins:spent:p{partition}", coins)
    earned = Transfer(DIAMOND, f"diamonds:issued:p{partition}", diamonds_of(creator), diamonds)
    return tuple(transfer for transfer in (paid, earned) if transfer.amount)


def taken_back_transfers(added: Matched, partition: int, creator: str) -> tuple[Transfer, ...]:
    """Return the transfers that take back what was added to a revoked gift of `partition`."""
    legs = matched_transfers(added.match_id, added.coins, added.diamonds, partition, creator)
    return tuple(Transfer(asset, credit, debit, amount) for asset, debit, credit, amount in legs)


def take_back(match: Match, added: Matched, revocation: str) -> MatchTransition:
    """Apply a revocation of a gift: what was added to it returns to the budget, or is due to the sponsor.

    If the sponsor has got too much back already (see `give_back`), it first covers the operator's loss. The caller
    makes the transfers of `taken_back_transfers`. Raises ValueError for more than the match has used.
    """
    if added.coins > match.used_coins or added.diamonds > match.used_diamonds:
        raise ValueError(f"match {match.id}: {added} can't be taken back, only {match.used_coins} coins were used")
    excess = max(match.returned_coins - match.remaining_coins, 0)
    after = replace(
        match, used_coins=match.used_coins - added.coins, used_diamonds=match.used_diamonds - added.diamonds
    )
    if match.is_open or match.partition is None:
        return MatchTransition(after)
    if after.due_coins and after.status == "returned":
        after = replace(after, status="ended")
    ref = f"{match.id}:revoked:{revocation}"
    postings = [
        Posting(RETURNED, ref, (Transfer(COIN, account_of(match.id), _sponsored(match.partition), added.coins),))
    ]
    if made_good := min(added.coins, excess):
        loss = Transfer(COIN, _sponsored(match.partition), LOSSES, made_good)
        postings.append(Posting(LOST, ref, (loss,)))
    return MatchTransition(after, tuple(postings))


def is_exhausted(match: Match, cheapest_coins: int | None) -> bool:
    """Return whether nothing can be added any more.

    `cheapest_coins` is the price of the cheapest gift it applies to.
    """
    return match.remaining_coins < (cheapest_coins or 1)


# --- Its beginning and its end ----------------------------------------------------------------------------------------


def fund(match: Match, payment: WalletChanged, partition: int) -> MatchTransition:
    """Apply the booked payment of the sponsor's wallet. A match that is over by now gets it only to give it back.

    Raises ValueError for a payment that can't be the match's: such an entry belongs in quarantine.
    """
    if match.partition is not None or (payment.user, payment.delta) != (match.sponsor, -match.budget_coins):
        raise ValueError(
            f"match {match.id}: {payment.delta} coins of {payment.user}, expected one payment of {match.budget_coins} "
            f"by {match.sponsor}"
        )
    funded = replace(
        match,
        partition=partition,
        status="active" if match.status == "funding" else match.status,
        starts_ms=payment.ts_ms if match.starts_ms is None else match.starts_ms,
    )
    paid = Transfer(COIN, _sponsored(partition), account_of(match.id), match.budget_coins)
    posting = Posting(FUNDED, match.id, (paid,))
    return MatchTransition(funded, (posting, *([] if funded.is_open else _release(funded))))


def end(match: Match, status: Literal["exhausted", "ended"] = "ended") -> MatchTransition:
    """End a match: what is left is due to the sponsor. A match that is over is unchanged."""
    if not match.is_open:
        return MatchTransition(match)
    over = replace(match, status=status)
    return MatchTransition(over, tuple(_release(over)))


def _release(match: Match) -> list[Posting]:
    if match.partition is None or not match.remaining_coins:
        return []
    rest = Transfer(COIN, account_of(match.id), _sponsored(match.partition), match.remaining_coins)
    return [Posting(RETURNED, match.id, (rest,))]


def give_back(match: Match, credit: WalletChanged) -> MatchTransition:
    """Apply the booked credit to the sponsor's wallet.

    It may come before the end: then the ledger was set back and has forgotten the end, and the match ends now. If it
    has matched more the second time, the sponsor has got too much, and the operator bears the loss. Raises ValueError
    for a credit that can't be the match's.
    """
    coins = credit.delta
    if match.partition is None or credit.user != match.sponsor or coins <= 0:
        raise ValueError(f"match {match.id}: {coins} coins for {credit.user}, expected none or for {match.sponsor}")
    over = end(match)
    known = over.match
    total = known.returned_coins + coins
    status: Status = "returned" if total >= known.remaining_coins else known.status
    postings = list(over.postings)
    excess = min(total - known.remaining_coins, coins)
    if excess > 0:
        loss = Transfer(COIN, LOSSES, _sponsored(match.partition), excess)
        postings.append(Posting(LOST, f"{match.id}:{total}", (loss,)))
    return MatchTransition(replace(known, status=status, returned_coins=total), tuple(postings))


def forgotten(match_id: str, sponsor: str, coins: int) -> Match:
    """Return a match that a ledger which was set back no longer knows: it is over, so that its coins go back."""
    return Match(match_id, "", sponsor, None, 1, coins, 0, None, "ended")
