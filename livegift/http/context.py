"""The context of routes: the caller's identity, and reading and writing of declared types."""

import re
from contextlib import suppress
from hashlib import blake2b
from typing import TypeVar, cast

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.bounds import HTTP_BODY_BYTES_MAX, ID_PATTERN, PATTERNS
from livegift.contract.errors import RequestError
from livegift.contract.values import is_id
from livegift.http import bodies
from livegift.http.routing import Route
from livegift.ledger.rooms import Room, read_room
from livegift.resources.resources import Resources
from livegift.runtime import access
from livegift.runtime.event_ids import EventIds
from livegift.runtime.identity import Identity

S = TypeVar("S", bound=Struct)
T = TypeVar("T")
IDENTITY, ROUTE = "livegift.runtime.identity", "livegift.route"  # keys in a request's scope
_UNDONE_PLACE = re.compile(r"\bundo:(\d{1,4}-\d{1,9}-\d{1,14})$", re.ASCII)


def resources_of(request: Request) -> Resources:
    """Return the resources of the process that serves `request`."""
    return cast("Resources", request.app.state.resources)


def answer(
    request: Request, value: Struct, status: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    """Return the response that the request's route declares, as JSON.

    `status` is one of the route's, by default the first. A cacheable response can be kept and revalidated: 304 while it
    is the same (RFC 9110, 13.1.2).
    """
    route = _route_of(request)
    status = status or route.status
    if type(value) not in route.answers or status not in (route.status, *route.also):
        raise TypeError(f"{route}: expected its route to declare {status} {type(value).__name__}")
    data = msgspec.json.encode(value)
    if route.is_cacheable:
        return cacheable(request, data, headers or {})
    return Response(data, status, headers, media_type="application/json")


def cacheable(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """JSON that a client may keep and ask about again: 304 while it is the same (RFC 9110, 13.1.2)."""
    etag = f'W/"{blake2b(data, digest_size=12).hexdigest()}"'
    headers |= {"ETag": etag, "Cache-Control": "public, no-cache"}
    known = (tag.strip() for tag in request.headers.get("if-none-match", "").split(","))
    if etag in known:
        return Response(None, 304, headers)
    return Response(data, 200, headers, media_type="application/json")


def _route_of(request: Request) -> Route:
    return cast("Route", request.scope[ROUTE])


def identity_of(request: Request) -> Identity:
    """Return the caller's identity. The guard has admitted it by this route's rule, which must not be a public one."""
    return cast("Identity", request.scope[IDENTITY])


def identity_if_any(request: Request) -> Identity | None:
    """Return the caller's identity on a public route; None without a valid token that its `optional` rule allows."""
    rule = _route_of(request).optional
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or rule is None:
        return None
    with suppress(RequestError):
        identity = resources_of(request).tokens.verify(token.strip())
        access.require(rule, identity, None)
        return identity
    return None


async def body_of(request: Request, model: type[T]) -> T:
    """Read the request's body as `model`, which its route declares. Raises RequestError('too_large' or 'invalid')."""
    route = _route_of(request)
    if route.body is not model:
        raise TypeError(f"{route}: expected its route to say body={model.__name__}, got {route.body}")
    return bodies.parse_body(await raw_body_of(request, HTTP_BODY_BYTES_MAX), model)


def query_of(request: Request, model: type[S]) -> S:
    """Read the request's query as `model`, which its route declares. Raises RequestError('invalid')."""
    route = _route_of(request)
    if route.query is not model:
        raise TypeError(f"{route}: expected its route to say query={model.__name__}, got {route.query}")
    return bodies.parse_query(request.query_params, model)


def key_of(request: Request) -> str | None:
    """Return the Idempotency-Key, None without one. Raises RequestError('invalid')."""
    route = _route_of(request)
    if not route.takes_key:
        raise TypeError(f"{route}: expected its route to say takes_key=True")
    key = request.headers.get("idempotency-key")
    if key is not None and not is_id(key):
        raise RequestError("invalid", f"Idempotency-Key: expected {PATTERNS[ID_PATTERN]}")
    return key


async def raw_body_of(request: Request, bytes_max: int) -> bytes:
    """Read the request's body unchanged. Raises RequestError('too_large')."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise RequestError("too_large", f"Expected a body of at most {bytes_max} bytes.")
    return bytes(body)


def room_id_of(request: Request) -> str:
    """Return the room in the path. Raises RequestError('room_not_found') for anything that can't be an id."""
    room = str(request.path_params["room"])
    if not is_id(room):
        raise RequestError("room_not_found")
    return room


async def own_room_of(request: Request) -> Room:
    """Return the room in the path as the ledger has it now, if it is the caller's, or the caller is an admin.

    For routes under RUN_ROOM. Raises RequestError: `room_not_found`, `forbidden`; LedgerUnavailableError.
    """
    identity = identity_of(request)
    room = await read_room(resources_of(request).database, room_id_of(request))
    if room is None:
        raise RequestError("room_not_found")
    if identity.role != "admin" and room.creator_id != identity.user:
        raise RequestError("forbidden", "Only the room's creator can do this.")
    return room


def gift_event_of(request: Request) -> tuple[str, str]:
    """Return the gift in the path: its event's id, and its position `<partition>-<epoch>-<n>`.

    Raises RequestError('not_found') for anything that is not an id of this system, without asking the ledger.
    """
    public = str(request.path_params["gift_event_id"])
    place = resources_of(request).event_ids.place(public)
    if place is None:
        raise RequestError("not_found", "There is no such gift.")
    return public, place


def public_ref(ids: EventIds, ref: str) -> str:
    """Return a transfer's ref as clients may see it: earlier versions recorded undone gifts by their position."""
    return _UNDONE_PLACE.sub(lambda found: f"undo:{ids.of(found[1])}", ref)
