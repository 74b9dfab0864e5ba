"""What operators do by hand, with an audit trail: corrections and revocations under dual control, a room's audit."""

from secrets import token_hex
from typing import cast, get_args

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift.contract import wire
from livegift.contract.errors import RequestError
from livegift.features.corrections import queries as stored
from livegift.features.corrections.rules import Correction, Status
from livegift.features.corrections.service import decide
from livegift.features.rooms.audit import audit_room
from livegift.http import bodies
from livegift.http.context import body_of, identity_of, json_response, page_of, resources_of, room_id_of
from livegift.ledger.audit_trail import Act, read_acts
from livegift.runtime.bounds import SUBJECT_LENGTH_MAX
from livegift.runtime.event_ids import EventIds


def _act(act: Act, ids: EventIds) -> dict[str, object]:
    details = dict(act.details)
    if details.get("gift"):
        details["gift"] = ids.of(str(details["gift"]))
    return {
        "id": str(act.id),
        "actor": act.actor,
        "act": act.act,
        "subject": act.subject,
        "details": details,
        "ts_ms": int(act.at.timestamp() * 1000),
    }


async def list_acts(request: Request) -> Response:
    """`GET /v1/admin/acts?subject=user:ann`: what operators did, the newest first."""
    cursor, limit = page_of(request)
    if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= len(str(2**53))):
        raise RequestError("invalid", "cursor: expected the next_cursor of a page before")
    subject = request.query_params.get("subject")
    if subject is not None and not (0 < len(subject) <= SUBJECT_LENGTH_MAX and wire.is_text(subject)):
        raise RequestError("invalid", f"subject: expected 1 to {SUBJECT_LENGTH_MAX} characters such as user:ann")
    resources = resources_of(request)
    found = await read_acts(resources.database, subject, int(cursor) if cursor else None, limit + 1)
    page = found[:limit]
    next_cursor = str(page[-1].id) if len(found) > limit else None
    return json_response({"items": [_act(act, resources.event_ids) for act in page], "next_cursor": next_cursor})


def _public(correction: Correction, ids: EventIds) -> dict[str, object]:
    return {
        "id": correction.id,
        "status": correction.status,
        "user": correction.user,
        "coins": correction.coins,
        "gift_event_id": correction.gift and ids.of(correction.gift.id),
        "diamonds": -correction.gift.diamonds if correction.gift else 0,
        "why": correction.why,
        "requested_by": correction.requested_by,
        "decided_by": correction.decided_by,
    }


async def list_corrections(request: Request) -> Response:
    """`GET /v1/admin/corrections?status=requested`."""
    cursor, limit = page_of(request)
    status = request.query_params.get("status")
    if status is not None and status not in get_args(Status):
        raise RequestError("invalid", f"status: expected one of {', '.join(get_args(Status))}")
    wanted = cast("Status | None", status)
    resources = resources_of(request)
    found = await stored.read_corrections(resources.database, wanted, cursor, limit + 1)
    page = found[:limit]
    next_cursor = page[-1].id if len(found) > limit else None
    items = [_public(correction, resources.event_ids) for correction in page]
    return json_response({"items": items, "next_cursor": next_cursor})


async def request_correction(request: Request) -> Response:
    """`POST /v1/admin/corrections`: asks for one; the same id again is the same. Somebody else approves it."""
    operator = identity_of(request)
    body = await body_of(request, bodies.CorrectionBody)
    resources = resources_of(request)
    database, ids = resources.database, resources.event_ids
    correction_id = body.id or f"cor-{token_hex(12)}"
    if body.gift_event_id is not None and body.user is None and body.coins is None:
        place = ids.place(body.gift_event_id)
        if place is None:
            raise RequestError("not_found", "There is no such gift.")
        wanted = await stored.revocation_of(database, correction_id, place, body.why, operator.user)
    elif body.gift_event_id is None and body.user is not None and body.coins:
        wanted = Correction(correction_id, body.user, body.coins, body.why, operator.user)
    else:
        raise RequestError("invalid", "expected user and coins (not 0), or gift_event_id alone")
    noted = await stored.request(database, wanted)
    return json_response(_public(noted, ids), 201, {"Location": f"/v1/admin/corrections/{noted.id}"})


async def decide_correction(request: Request) -> Response:
    """`POST /v1/admin/corrections/{id}/approve` or `/reject`."""
    operator = identity_of(request)
    correction_id, decision = str(request.path_params["id"]), str(request.path_params["decision"])
    if not wire.is_id(correction_id) or decision not in ("approve", "reject"):
        raise RequestError("not_found")
    resources = resources_of(request)
    decided = await decide(
        resources.database, resources.wallets, correction_id, operator.user, approve=decision == "approve"
    )
    return json_response(_public(decided, resources.event_ids))


async def prove_room(request: Request) -> Response:
    """`GET /v1/admin/rooms/{room}/audit`: what viewers saw against what is booked, gift by gift."""
    resources = resources_of(request)
    return json_response(await audit_room(resources.database, resources.rooms, room_id_of(request)))


class Corrections(HTTPEndpoint):
    """`/v1/admin/corrections`."""

    get = staticmethod(list_corrections)
    post = staticmethod(request_correction)


ROUTES = [
    Route("/v1/admin/acts", list_acts),
    Route("/v1/admin/corrections", Corrections),
    Route("/v1/admin/corrections/{id}/{decision}", decide_correction, methods=["POST"]),
    Route("/v1/admin/rooms/{room}/audit", prove_room),
]
