"""The requests and responses of the routes of sponsor matches."""

from typing import Annotated

from msgspec import Meta, Struct

from livegift.contract.bounds import SPONSOR_BUDGET_COINS_MAX, SPONSOR_FACTOR_MAX
from livegift.contract.http import Name, Page
from livegift.contract.values import Coins, Id, TimeMs, Title, UserId
from livegift.features.sponsors.rules import Status
from livegift.http.bodies import VisibleTexts

MatchedGift = Annotated[Id, Meta(description="null: all gifts are matched")]
Factor = Annotated[int, Meta(description="pieces added to each that is sent: 1 doubles")]
UsedCoins = Annotated[Coins, Meta(description="of the budget, added to gifts so far")]
BudgetCoins = Annotated[Coins, Meta(description="what the sponsor has paid for")]
StartsMs = Annotated[TimeMs, Meta(description="milliseconds since 1970; null: when its sponsor pays")]
EndsMs = Annotated[TimeMs, Meta(description="milliseconds since 1970; null: when the budget is used")]


class SponsorMatchBody(VisibleTexts, frozen=True, forbid_unknown_fields=True):
    """A match to fund: `factor` gifts are added to each (of `gift_id`), until the budget is used.

    Its text is hashed with what an Idempotency-Key stands for: another name or field makes repeated ones conflicts.
    """

    sponsor: UserId
    sponsor_name: Name
    title: Title
    budget_coins: Annotated[int, Meta(ge=1, le=SPONSOR_BUDGET_COINS_MAX)]
    gift_id: Id | None = None
    factor: Annotated[int, Meta(ge=1, le=SPONSOR_FACTOR_MAX)] = 1
    starts_ms: TimeMs | None = None
    ends_ms: TimeMs | None = None


class MatchView(Struct, frozen=True):
    """A match as viewers see it. Numbers are absolute, so the next event repairs what was lost."""

    match_id: Id
    sponsor: Annotated[str, Meta(description="the name that viewers see; for operators the user whose coins these are")]
    title: str
    gift_id: MatchedGift | None
    factor: Factor
    used_coins: UsedCoins
    budget_coins: BudgetCoins
    status: Status
    starts_ms: StartsMs | None
    ends_ms: EndsMs | None


class MatchPage(Page[MatchView], frozen=True):
    """The active matches of a room, on one page, in the order in which they are applied."""


class FundedMatch(MatchView, frozen=True):
    """A match as operators see it."""

    id: Id
    room: Id
    sponsor_name: str
    used_diamonds: int
    returned_coins: Coins


class FundedMatchPage(Page[FundedMatch], frozen=True):
    """All matches that a room ever had, newest first."""
