"""What a room's viewers hear of sponsor matches."""

from livegift.contract.bounds import SPONSOR_MATCHES_PER_ROOM_MAX
from livegift.contract.event_kinds import EventKind, Lane, RoomPart
from livegift.contract.events import Event
from livegift.contract.values import Coins, Id, TimeMs
from livegift.features.sponsors.bodies import MatchView
from livegift.features.sponsors.rules import Status


class MatchEvent(Event, frozen=True, kw_only=True, tag="match"):
    """A match as it is now: absolute numbers, so that the next event heals what was lost."""

    match_id: Id
    sponsor: str
    title: str
    gift_id: Id | None
    factor: int
    used_coins: Coins
    budget_coins: Coins
    status: Status
    starts_ms: TimeMs | None
    ends_ms: TimeMs | None


MATCHES = EventKind(MatchEvent, Lane.LATEST, key="match_id")
# The room can hear of a new match before it hears of the end of an old one.
ACTIVE_MATCHES = RoomPart("matches", MATCHES, values_max=2 * SPONSOR_MATCHES_PER_ROOM_MAX, shown=MatchView)
