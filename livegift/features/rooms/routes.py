"""Routes of rooms."""

from secrets import token_hex

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.channels import parse_snapshot
from livegift.contract.errors import RequestError
from livegift.contract.http import PageQuery
from livegift.features.rooms.audit import audit_room
from livegift.features.rooms.bodies import (
    CreatorView,
    RoomDetails,
    RoomPage,
    RoomPatch,
    RoomProof,
    RoomRequest,
    RoomView,
    TotalsView,
)
from livegift.features.rooms.service import announce_end, announce_opening
from livegift.http.context import answer, body_of, identity_of, own_room_of, query_of, resources_of, room_id_of
from livegift.http.routing import Route
from livegift.ledger import rooms as stored
from livegift.ledger.rooms import Room
from livegift.runtime.access import OPEN_ROOM, OPERATE_ROOM, PUBLIC, RUN_ROOM, Rate, require_room


def _view(room: Room) -> RoomView:
    return RoomView(room.id, room.title, room.kind, room.status, CreatorView(room.creator_id, room.creator_name))


async def list_rooms(request: Request) -> Response:
    """`GET /v1/rooms`: the live ones, by id."""
    query = query_of(request, PageQuery)
    found = await stored.list_rooms(resources_of(request).database, query.cursor or "", query.limit + 1)
    page = found[: query.limit]
    next_cursor = page[-1].id if len(found) > query.limit else None
    return answer(request, RoomPage([_view(room) for room in page], next_cursor))


async def open_room(request: Request) -> Response:
    """`POST /v1/rooms`: open a room; the same id from the same creator again returns the same room."""
    identity = identity_of(request)
    body = await body_of(request, RoomRequest)
    room_id = body.id or f"room-{token_hex(8)}"
    require_room(identity, room_id)
    resources = resources_of(request)
    room, is_new = await stored.open_room(
        resources.database, room_id, identity.user, identity.shown_name, body.title, body.kind
    )
    if not is_new and (room.creator_id, room.kind) != (identity.user, body.kind):
        raise RequestError("conflict", f"Room {room_id} exists already, with another creator or kind.")
    resources.directory.forget(room_id)
    await announce_opening(resources.rooms, room)
    return answer(request, _view(room), 201 if is_new else 200, {"Location": f"/v1/rooms/{room_id}"})


async def read_room(request: Request) -> Response:
    """`GET /v1/rooms/{room}`: a room with its current totals."""
    resources = resources_of(request)
    room = await resources.directory.room(room_id_of(request))
    if room is None:
        raise RequestError("room_not_found")
    snapshot = parse_snapshot((await resources.rooms.snapshot(room.id)).header)
    totals = msgspec.json.decode(snapshot.totals, type=TotalsView)
    return answer(request, RoomDetails(**structs.asdict(_view(room)), seq=snapshot.seq, totals=totals))


async def change_room(request: Request) -> Response:
    """`PATCH /v1/rooms/{room}`: change the title, or end the room."""
    body = await body_of(request, RoomPatch)
    resources = resources_of(request)
    room = await own_room_of(request)
    if body.title is not None:
        await stored.retitle_room(resources.database, room.id, body.title)
    if body.status == "ended":
        await stored.end_room(resources.database, room.id)
        # Again after a crash in between: each of these happens once however often it is called.
        await announce_end(resources.rooms, resources.outbox, room)
    resources.directory.forget(room.id)
    changed = await stored.read_room(resources.database, room.id)
    assert changed is not None  # noqa: S101 - rooms are never deleted
    return answer(request, _view(changed))


async def prove_room(request: Request) -> Response:
    """`GET /v1/admin/rooms/{room}/audit`: compare what viewers saw with what is booked, gift by gift."""
    resources = resources_of(request)
    return answer(request, await audit_room(resources.database, resources.rooms, room_id_of(request)))


ROUTES = (
    Route("GET", "/v1/rooms", PUBLIC, Rate.QUERY, list_rooms, "List the live rooms", query=PageQuery, answer=RoomPage),
    Route(
        "POST",
        "/v1/rooms",
        OPEN_ROOM,
        Rate.COSTLY,
        open_room,
        "Open a room",
        body=RoomRequest,
        answer=RoomView,
        status=201,
        also=(200,),
        errors=("conflict",),
    ),
    Route(
        "GET",
        "/v1/rooms/{room}",
        PUBLIC,
        Rate.QUERY,
        read_room,
        "Read a room with its totals",
        answer=RoomDetails,
        errors=("room_not_found",),
    ),
    Route(
        "PATCH",
        "/v1/rooms/{room}",
        RUN_ROOM,
        Rate.COSTLY,
        change_room,
        "Retitle or end a room",
        body=RoomPatch,
        answer=RoomView,
        errors=("room_not_found",),
    ),
    Route(
        "GET",
        "/v1/admin/rooms/{room}/audit",
        OPERATE_ROOM,
        Rate.COSTLY,
        prove_room,
        "Compare what a room has seen with what is booked",
        answer=RoomProof,
        errors=("room_not_found",),
    ),
)
