"""Routes of corrections and revocations: one operator requests them, another approves."""

from secrets import token_hex
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError
from livegift.contract.values import is_id
from livegift.features.corrections import queries as stored
from livegift.features.corrections.bodies import (
    CorrectionPage,
    CorrectionRequest,
    CorrectionsQuery,
    CorrectionView,
    Decision,
)
from livegift.features.corrections.rules import Correction
from livegift.features.corrections.service import decide
from livegift.http.context import answer, body_of, identity_of, query_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import OPERATE, Rate
from livegift.runtime.event_ids import EventIds


def _view(correction: Correction, ids: EventIds) -> CorrectionView:
    return CorrectionView(
        id=correction.id,
        status=correction.status,
        user=correction.user,
        coins=correction.coins,
        gift_event_id=correction.gift and ids.of(correction.gift.id),
        diamonds=-correction.gift.diamonds if correction.gift else 0,
        why=correction.why,
        requested_by=correction.requested_by,
        decided_by=correction.decided_by,
    )


async def list_corrections(request: Request) -> Response:
    """`GET /v1/admin/corrections?status=requested`: corrections, of one status or of all."""
    query = query_of(request, CorrectionsQuery)
    resources = resources_of(request)
    found = await stored.read_corrections(resources.database, query.status, query.cursor or "", query.limit + 1)
    page = found[: query.limit]
    next_cursor = page[-1].id if len(found) > query.limit else None
    return answer(request, CorrectionPage([_view(item, resources.event_ids) for item in page], next_cursor))


async def request_correction(request: Request) -> Response:
    """`POST /v1/admin/corrections`: request one, for another operator to approve; the same id again is the same one."""
    operator = identity_of(request)
    body = await body_of(request, CorrectionRequest)
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
    return answer(request, _view(noted, ids), 201, {"Location": f"/v1/admin/corrections/{noted.id}"})


async def decide_correction(request: Request) -> Response:
    """`POST /v1/admin/corrections/{id}/approve` or `/reject`: decide a correction."""
    operator = identity_of(request)
    correction_id, decision = str(request.path_params["id"]), str(request.path_params["decision"])
    if not is_id(correction_id) or decision not in get_args(Decision):
        raise RequestError("not_found")
    resources = resources_of(request)
    decided = await decide(
        resources.database, resources.wallets, correction_id, operator.user, approve=decision == "approve"
    )
    return answer(request, _view(decided, resources.event_ids))


ROUTES = (
    Route(
        "GET",
        "/v1/admin/corrections",
        OPERATE,
        Rate.QUERY,
        list_corrections,
        "List corrections",
        query=CorrectionsQuery,
        answer=CorrectionPage,
    ),
    Route(
        "POST",
        "/v1/admin/corrections",
        OPERATE,
        Rate.COSTLY,
        request_correction,
        "Request a correction",
        body=CorrectionRequest,
        answer=CorrectionView,
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
        parts={"decision": Decision},
        answer=CorrectionView,
        errors=("not_found", "conflict", "second_person_required"),
    ),
)
