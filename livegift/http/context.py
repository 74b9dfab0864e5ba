"""What the routes share, and how they learn who is asking."""

import re
from contextlib import suppress
from hashlib import blake2b
from typing import TypeVar, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract import wire
from livegift.contract.bounds import HTTP_BODY_BYTES_MAX, PAGE_ITEMS_MAX
from livegift.contract.errors import RequestError
from livegift.http import bodies
from livegift.http.routing import Route
from livegift.resources.resources import Resources
from livegift.runtime import access
from livegift.runtime.access import Rule
from livegift.runtime.event_ids import EventIds
from livegift.runtime.identity import Identity

T = TypeVar("T")
IDENTITY, ROUTE = "livegift.runtime.identity", "livegift.route"  # where a request's scope has them
_UNDONE_PLACE = re.compile(r"\bundo:(\d{1,4}-\d{1,9}-\d{1,14})$", re.ASCII)


def resources_of(request: Request) -> Resources:
    """What the process that serves `request` owns."""
    return cast("Resources", request.app.state.resources)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`body` as JSON."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def cacheable_json(request: Request, body: object) -> Response:
    """`body` as JSON that a client may keep and ask about again: 304 while it is the same (RFC 9110, 13.1.2)."""
    data = orjson.dumps(body)
    etag = f'W/"{blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "public, no-cache"}
    known = (tag.strip() for tag in request.headers.get("if-none-match", "").split(","))
    if etag in known:
        return Response(None, 304, headers)
    return Response(data, 200, headers, media_type="application/json")


def identity_of(request: Request) -> Identity:
    """Return who is asking. The guard has let them in by this route's rule, which must not be a public one."""
    return cast("Identity", request.scope[IDENTITY])


def identity_if_any(request: Request, rule: Rule) -> Identity | None:
    """Return who is asking a public route, or None without a valid token that `rule` allows."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    with suppress(RequestError):
        identity = resources_of(request).tokens.verify(token.strip())
        access.require(rule, identity, None)
        return identity
    return None


async def body_of(request: Request, model: type[T]) -> T:
    """The request's body as `model`, which its route names. Raises RequestError('too_large' or 'invalid')."""
    route = cast("Route", request.scope[ROUTE])
    if route.body is not model:
        raise TypeError(
            f"{route.method} {route.path}: expected its route to say body={model.__name__}, got {route.body}"
        )
    return bodies.parse_body(await raw_body_of(request, HTTP_BODY_BYTES_MAX), model)


async def raw_body_of(request: Request, bytes_max: int) -> bytes:
    """The request's body as it came. Raises RequestError('too_large')."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise RequestError("too_large", f"Expected a body of at most {bytes_max} bytes.")
    return bytes(body)


def room_id_of(request: Request) -> str:
    """The room in the path. Raises RequestError('room_not_found') for what can't be an id."""
    room = str(request.path_params["room"])
    if not wire.is_id(room):
        raise RequestError("room_not_found")
    return room


def gift_event_of(request: Request) -> tuple[str, str]:
    """The gift in the path: its event's id, and its place `<partition>-<epoch>-<n>`.

    Raises RequestError('not_found') for anything that is not an id of this system, without asking the ledger.
    """
    public = str(request.path_params["gift_event_id"])
    place = resources_of(request).event_ids.place(public)
    if place is None:
        raise RequestError("not_found", "There is no such gift.")
    return public, place


def public_ref(ids: EventIds, ref: str) -> str:
    """What a transfer belongs to, as clients may see it: earlier versions noted undone gifts under their place."""
    return _UNDONE_PLACE.sub(lambda found: f"undo:{ids.of(found[1])}", ref)


def page_of(request: Request) -> tuple[str, int]:
    """`cursor` and `limit` of a list. Raises RequestError('invalid')."""
    text = request.query_params.get("limit", str(PAGE_ITEMS_MAX))
    if (
        not (text.isascii() and text.isdecimal() and len(text) <= len(str(PAGE_ITEMS_MAX)))
        or not 1 <= int(text) <= PAGE_ITEMS_MAX
    ):
        raise RequestError("invalid", f"limit: expected 1 to {PAGE_ITEMS_MAX}, got {text[:20]!r}")
    cursor = request.query_params.get("cursor", "")
    if cursor and not wire.is_id(cursor):
        raise RequestError("invalid", "cursor: expected the next_cursor of a page before")
    return cursor, int(text)
