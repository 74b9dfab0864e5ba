"""Routes of the audit trail."""

from starlette.requests import Request
from starlette.responses import Response

from livegift.features.audit_trail.bodies import ActPage, ActsQuery, ActView
from livegift.http.context import answer, query_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.audit_trail import OperatorAct, read_acts
from livegift.runtime.access import OPERATE, Rate
from livegift.runtime.event_ids import EventIds


def _view(act: OperatorAct, ids: EventIds) -> ActView:
    details = dict(act.details)
    if details.get("gift"):
        details["gift"] = ids.of(str(details["gift"]))
    return ActView(str(act.id), act.actor, act.act, act.subject, details, int(act.at.timestamp() * 1000))


async def list_acts(request: Request) -> Response:
    """`GET /v1/admin/acts?subject=user:ann`: operators' acts, newest first."""
    query = query_of(request, ActsQuery)
    resources = resources_of(request)
    before = int(query.cursor) if query.cursor else None
    found = await read_acts(resources.database, query.subject, before, query.limit + 1)
    page = found[: query.limit]
    next_cursor = str(page[-1].id) if len(found) > query.limit else None
    return answer(request, ActPage([_view(act, resources.event_ids) for act in page], next_cursor))


ROUTES = (
    Route(
        "GET",
        "/v1/admin/acts",
        OPERATE,
        Rate.QUERY,
        list_acts,
        "List what operators did",
        query=ActsQuery,
        answer=ActPage,
    ),
)
