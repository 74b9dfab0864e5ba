"""What operators did by hand, the newest first."""

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract import wire
from livegift.contract.bounds import SUBJECT_LENGTH_MAX
from livegift.contract.errors import RequestError
from livegift.http.context import json_response, page_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.audit_trail import Act, read_acts
from livegift.runtime.access import OPERATE, Rate
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


ROUTES = (Route("GET", "/v1/admin/acts", OPERATE, Rate.QUERY, list_acts, "List what operators did"),)
