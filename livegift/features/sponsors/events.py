"""What a room's viewers hear of sponsor matches."""

from typing import Annotated

from msgspec import Meta

from livegift.contract.bounds import SPONSOR_MATCHES_PER_ROOM_MAX
from livegift.contract.event_kinds import EventKind, Lane, RoomPart
from livegift.contract.events import Event
from livegift.contract.values import Id
from livegift.features.sponsors.bodies import BudgetCoins, EndsMs, Factor, MatchedGift, MatchView, StartsMs, UsedCoins
from livegift.features.sponsors.rules import Status


class MatchEvent(Event, frozen=True, kw_only=True, tag="match"):
    """A match as it is now: absolute numbers, so that the next event heals what was lost."""

    match_id: Id
    sponsor: Annotated[str, Meta(description="the name that viewers see")]
    title: str
    gift_id: MatchedGift | None
    factor: Factor
    used_coins: UsedCoins
    budget_coins: BudgetCoins
    status: Status
    starts_ms: StartsMs | None
    ends_ms: EndsMs | None


MATCHES = EventKind(MatchEvent, Lane.LATEST, key="match_id")
# The room can hear of a new match before it hears of the end of an old one.
ACTIVE_MATCHES = RoomPart("matches", MATCHES, values_max=2 * SPONSOR_MATCHES_PER_ROOM_MAX, shown=MatchView)
