"""Routes of sponsor matches: operators fund and end them, everybody can see those of a room."""

import time
from contextlib import suppress
from hashlib import blake2b
from secrets import token_hex

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.contract.http import NumberPageQuery
from livegift.contract.values import is_id
from livegift.features.sponsors import queries as stored
from livegift.features.sponsors.bodies import FundedMatch, FundedMatchPage, MatchPage, SponsorMatchBody
from livegift.features.sponsors.errors import TOO_MANY_MATCHES
from livegift.features.sponsors.queries import NewMatch, StoredMatch
from livegift.features.sponsors.rules import Match
from livegift.features.sponsors.service import announce_match, end_match, fund_match, view
from livegift.http.context import answer, body_of, identity_of, key_of, query_of, resources_of, room_id_of
from livegift.http.routing import Route
from livegift.runtime.access import OPERATE_ROOM, PUBLIC, Rate
from livegift.store.wallets import payload_hash


def _funded(found: StoredMatch) -> FundedMatch:
    match = found.match
    shown = {**structs.asdict(view(found)), "status": match.status, "sponsor": match.sponsor}
    return FundedMatch(
        **shown,
        id=match.id,
        room=match.room,
        sponsor_name=found.sponsor_name,
        used_diamonds=match.used_diamonds,
        returned_coins=match.returned_coins,
    )


def _id_of(request: Request, actor: str) -> str:
    """Return the match's id: the same Idempotency-Key of the same operator means the same match."""
    key = key_of(request)
    if key is None:
        return f"match-{token_hex(12)}"
    return f"match-{blake2b(repr((actor, key)).encode(), digest_size=12).hexdigest()}"


def _new_match(match_id: str, room: str, body: SponsorMatchBody) -> NewMatch:
    now_ms = int(time.time() * 1000)
    if body.ends_ms is not None and body.ends_ms <= max(body.starts_ms or 0, now_ms):
        raise RequestError("invalid", "ends_ms: expected a time after starts_ms that is not over")
    match = Match(
        match_id, room, body.sponsor, body.gift_id, body.factor, body.budget_coins, body.starts_ms, body.ends_ms
    )
    return NewMatch(match, payload_hash("match", room, body), body.sponsor_name, body.title)


async def create(request: Request) -> Response:
    """`POST /v1/admin/rooms/{room}/matches`: fund one (201); the same Idempotency-Key again returns the same match."""
    identity = identity_of(request)
    body = await body_of(request, SponsorMatchBody)
    resources = resources_of(request)
    new = _new_match(_id_of(request, identity.user), room_id_of(request), body)
    found = await fund_match(resources.database, resources.wallets, new, identity.user)
    return answer(request, _funded(found), headers={"Location": f"/v1/admin/rooms/{new.match.room}/matches"})


async def list_all(request: Request) -> Response:
    """`GET /v1/admin/rooms/{room}/matches`: all that the room ever had, newest first."""
    query = query_of(request, NumberPageQuery)
    before = int(query.cursor) if query.cursor else None
    page = await stored.list_matches(resources_of(request).database, room_id_of(request), before, query.limit + 1)
    next_cursor = str(page[query.limit - 1].number) if len(page) > query.limit else None
    return answer(request, FundedMatchPage([_funded(found) for found in page[: query.limit]], next_cursor))


async def end(request: Request) -> Response:
    """`DELETE /v1/admin/rooms/{room}/matches/{match}`: end a match; repeating it is harmless."""
    identity = identity_of(request)
    match_id = str(request.path_params["match"])
    resources = resources_of(request)
    known = await stored.read_match(resources.database, match_id) if is_id(match_id) else None
    if known is None or known.match.room != room_id_of(request):
        raise RequestError("not_found", "This room has no such match.")
    found = await end_match(resources.database, resources.wallets, match_id, identity.user)
    assert found is not None  # noqa: S101 - matches are never deleted
    with suppress(StoreUnavailableError, RequestError):  # the aggregator tells the room again
        await announce_match(resources.room_events, found)
    return answer(request, _funded(found))


async def list_active(request: Request) -> Response:
    """`GET /v1/rooms/{room}/matches`: the active ones, in the order in which they are applied."""
    resources = resources_of(request)
    room = await resources.directory.room(room_id_of(request))
    if room is None:
        raise RequestError("room_not_found")
    found = await stored.active_matches(resources.database, room.id) if room.is_live else []
    return answer(request, MatchPage([view(match) for match in found], None))


ROUTES = (
    Route(
        "GET",
        "/v1/rooms/{room}/matches",
        PUBLIC,
        Rate.QUERY,
        list_active,
        "List the sponsor matches that a room has now",
        answer=MatchPage,
        errors=("room_not_found",),
    ),
    Route(
        "GET",
        "/v1/admin/rooms/{room}/matches",
        OPERATE_ROOM,
        Rate.PLAIN,
        list_all,
        "List all of a room's sponsor matches",
        query=NumberPageQuery,
        answer=FundedMatchPage,
    ),
    Route(
        "POST",
        "/v1/admin/rooms/{room}/matches",
        OPERATE_ROOM,
        Rate.COSTLY,
        create,
        "Fund a sponsor match",
        body=SponsorMatchBody,
        takes_key=True,
        answer=FundedMatch,
        status=201,
        errors=(
            "room_not_found",
            "room_ended",
            "gift_not_found",
            TOO_MANY_MATCHES,
            "insufficient_coins",
            "wallet_frozen",
            "conflict",
            "ref_conflict",
        ),
    ),
    Route(
        "DELETE",
        "/v1/admin/rooms/{room}/matches/{match}",
        OPERATE_ROOM,
        Rate.QUERY,
        end,
        "End a sponsor match",
        answer=FundedMatch,
        errors=("not_found",),
    ),
)
