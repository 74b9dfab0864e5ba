"""Corrections and revocations: one operator asks for them, another approves."""

from secrets import token_hex
from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract import wire
from livegift.contract.errors import RequestError
from livegift.features.corrections import queries as stored
from livegift.features.corrections.rules import Correction, Status
from livegift.features.corrections.service import decide
from livegift.http import bodies
from livegift.http.context import body_of, identity_of, json_response, page_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import OPERATE, Rate
from livegift.runtime.event_ids import EventIds


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


ROUTES = (
    Route("GET", "/v1/admin/corrections", OPERATE, Rate.QUERY, list_corrections, "List corrections"),
    Route(
        "POST",
        "/v1/admin/corrections",
        OPERATE,
        Rate.COSTLY,
        request_correction,
        "Request a correction",
        body=bodies.CorrectionBody,
        status=201,
        errors=("not_found", "conflict"),
    ),
    Route(
        "POST",
        "/v1/admin/corrections/{id}/{decision}",
        OPERATE,
        Rate.COSTLY,
        decide_correction,
        "Approve or reject a correction",
        errors=("not_found", "conflict", "second_person_required"),
    ),
)
