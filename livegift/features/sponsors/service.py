"""Sponsor matches: written in the ledger, paid in Redis, booked by the aggregator, shown in rooms; all repeatable."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from msgspec.structs import asdict

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.domain.spending import Accepted, Change, Refused
from livegift.features.sponsors import queries as stored
from livegift.features.sponsors.bodies import MatchView
from livegift.features.sponsors.events import ACTIVE_MATCHES, MatchEvent
from livegift.features.sponsors.queries import NewMatch, StoredMatch
from livegift.features.sponsors.rules import FUNDED, RETURNED, funding_ref, return_ref
from livegift.ledger.engine import Database
from livegift.runtime.bounds import (
    MATCHES_REFRESH_PAGE,
    MATCHES_SHOWN_AFTER_S,
    SPONSOR_END_GRACE_S,
    SWEEP_MATCHES_MAX,
    SWEEP_MATCHES_S,
)
from livegift.store.client import StoreRefusedError
from livegift.store.room_events import RoomEventPublisher
from livegift.store.wallets import Wallets, payload_hash

log = structlog.get_logger()

# What has happened later stands higher: a room ignores what is older than what it knows.
_RANKS = {"active": 0, "exhausted": 1, "ended": 2, "returned": 2}
_VERSIONS_PER_COIN = max(_RANKS.values()) + 1


# --- Coins ------------------------------------------------------------------------------------------------------------


async def fund_match(database: Database, wallets: Wallets, new: NewMatch, actor: str) -> StoredMatch:
    """Write a match and have its sponsor pay; it is active once that is booked. The same id again is the same match.

    Raises RequestError; or StoreUnavailableError or LedgerUnavailableError: then repeat it.
    """
    known = await stored.read_match(database, new.match.id)
    if known is None and (await wallets.read(new.match.sponsor)).frozen:
        raise RequestError("wallet_frozen", f"The wallet of {new.match.sponsor} is frozen.")
    found = await stored.create_match(database, new, actor)
    if found.request_hash != new.request_hash:
        raise RequestError("ref_conflict", "This Idempotency-Key was used before with another content: use a new one.")
    if found.match.partition is None and not found.match.is_open:
        raise RequestError("conflict", "This match was over before its sponsor has paid: use a new Idempotency-Key.")
    await _pay(database, wallets, found)
    return found


async def _pay(database: Database, wallets: Wallets, found: StoredMatch) -> bool:
    """Take the budget from the sponsor's wallet, once. Returns whether this call has taken it.

    With too few coins, the match is over: raises RequestError. Nothing is tried once the ref may be forgotten.
    """
    match = found.match
    if match.status != "funding" or found.age_s >= wallets.ref_ttl_s:
        return False
    change = Change(
        match.sponsor,
        funding_ref(match.id),
        payload_hash(FUNDED, match.id, match.sponsor, match.budget_coins),
        -match.budget_coins,
        FUNDED,
    )
    outcome = await wallets.change(change)
    if isinstance(outcome, Accepted):
        return not outcome.duplicate
    await stored.end_match(database, match.id)
    if isinstance(outcome, Refused) and outcome.code == "insufficient_coins":
        raise RequestError(outcome.code, f"The wallet of {match.sponsor} does not have {match.budget_coins} coins.")
    raise RequestError("conflict", f"The payment of match {match.id} was refused: {outcome}")


async def give_back(wallets: Wallets, found: StoredMatch) -> bool:
    """Give the sponsor's wallet the coins due, once. Returns whether this call has given them.

    Raises StoreUnavailableError, or RequestError for what a person has to look at.
    """
    match, due = found.match, found.match.due_coins
    if not due or found.ended_age_s is None or found.ended_age_s >= wallets.ref_ttl_s:
        return False
    digest = payload_hash(RETURNED, match.id, match.sponsor, due)
    outcome = await wallets.change(Change(match.sponsor, return_ref(match), digest, due, RETURNED))
    if isinstance(outcome, Accepted):
        return not outcome.duplicate
    raise RequestError("conflict", f"match {match.id}: {due} coins could not be given back: {outcome}")


async def end_match(database: Database, wallets: Wallets, match_id: str, actor: str) -> StoredMatch | None:
    """End a match and give back what is left. Returns None when there is no such match.

    The end is durable when this returns; coins that could not be moved now are moved by the aggregator's sweep.
    """
    found = await stored.end_match(database, match_id, actor)
    if found is not None:
        try:
            await give_back(wallets, found)
        except (StoreUnavailableError, RequestError) as error:
            log.warning("match.returned_later", match=match_id, error=str(error))
    return found


async def finish_matches(database: Database, wallets: Wallets) -> list[StoredMatch]:
    """Finish payments, ends and returns that crashes or time have left; the aggregator calls it periodically.

    Returns the matches that it has ended.
    """
    ended = []
    for match_id in await stored.matches_to_end(database, SPONSOR_END_GRACE_S, wallets.ref_ttl_s, SWEEP_MATCHES_MAX):
        found = await stored.end_match(database, match_id)
        if found is not None:
            log.info("match.ended", match=match_id, used_coins=found.match.used_coins)
            ended.append(found)
    after = 0
    while page := await stored.unfinished_matches(
        database, SWEEP_MATCHES_S, wallets.ref_ttl_s, after, SWEEP_MATCHES_MAX
    ):
        for found in page:
            await _finish(database, wallets, found)
        after = page[-1].number
    return ended


async def _finish(database: Database, wallets: Wallets, found: StoredMatch) -> None:
    """Finish a match, or log why not: others must not wait for it, as its partition may be stopped for long."""
    match = found.match
    try:
        if match.status == "funding":
            if await _pay(database, wallets, found):
                log.warning("match.paid_late", match=match.id)
        elif await give_back(wallets, found):
            log.info("match.given_back", match=match.id, coins=match.due_coins)
    except StoreUnavailableError as error:
        log.warning("match.finished_later", match=match.id, error=str(error))
    except RequestError as error:
        log.error("match.refused", match=match.id, error=str(error))


# --- What rooms show --------------------------------------------------------------------------------------------------


def view(found: StoredMatch) -> MatchView:
    """Return a match as viewers see it."""
    match = found.match
    return MatchView(
        match_id=match.id,
        sponsor=found.sponsor_name,
        title=found.title,
        gift_id=match.gift_id,
        factor=match.factor,
        used_coins=match.used_coins,
        budget_coins=match.budget_coins,
        status="ended" if match.status == "returned" else match.status,
        starts_ms=match.starts_ms,
        ends_ms=match.ends_ms,
    )


async def announce_match(room_events: RoomEventPublisher, found: StoredMatch) -> bool:
    """Have the room show the match's state. Returns False when it did already.

    Raises StoreUnavailableError; RequestError when the room shows as many matches as it may.
    """
    match = found.match
    if match.status not in _RANKS or not match.room:
        return False
    rank = _RANKS[match.status]
    event_id = f"match-{match.id}-{match.used_coins}-{rank}"
    event = MatchEvent(id=event_id, ts_ms=int(time.time() * 1000), **asdict(view(found)))
    version = match.used_coins * _VERSIONS_PER_COIN + rank
    return await room_events.publish_latest(
        match.room, ACTIVE_MATCHES, event, version, is_over=rank > 0, when_ended=True, when_unknown=True
    )


async def refresh_matches(database: Database, room_events: RoomEventPublisher) -> int:
    """Tell all rooms the present state of their matches; returns how many were new to them.

    A room that refuses (it has lost its state) does not hold up others. Raises StoreUnavailableError when Redis does
    not answer, LedgerUnavailableError.
    """
    after, news = 0, 0
    while True:
        page = await stored.shown_matches(database, MATCHES_SHOWN_AFTER_S, after, MATCHES_REFRESH_PAGE)
        for found in page:
            try:
                news += await announce_match(room_events, found)
            except (StoreRefusedError, RequestError) as error:
                log.warning("match.told_later", match=found.match.id, error=str(error))
        if len(page) < MATCHES_REFRESH_PAGE:
            return news
        after = page[-1].number


class MatchNews:
    """The latest state of each match that has changed, on its way to the rooms: booking does not wait for them."""

    def __init__(self, room_events: RoomEventPublisher) -> None:
        """Tell the rooms, from the first call of `announce` on."""
        self._room_events = room_events
        self._latest: dict[str, StoredMatch] = {}
        self._there = asyncio.Event()

    def add(self, changed: Iterable[StoredMatch]) -> None:
        """Add matches that have changed; earlier states that are still waiting are replaced."""
        for found in changed:
            self._latest[found.match.id] = found
            self._there.set()
            match = found.match
            if match.returned_coins > match.remaining_coins:
                excess = match.returned_coins - match.remaining_coins
                log.error("match.returned_too_much", match=match.id, excess_coins=excess)

    async def announce(self) -> None:
        """Wait for changes and tell the rooms. What fails now is told by the next refresh."""
        await self._there.wait()
        self._there.clear()
        latest, self._latest = self._latest, {}
        for found in latest.values():
            try:
                await announce_match(self._room_events, found)
            except (StoreUnavailableError, RequestError) as error:
                log.warning("match.told_later", match=found.match.id, error=str(error))
