"""Taking a dear gift back, where the viewer's region gives some time for that."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift import wire
from livegift.api.context import context_of, identity_of, json_response
from livegift.corrections import undo
from livegift.domain.regions import region_of
from livegift.errors import RequestError


async def undo_gift(request: Request) -> Response:
    """`POST /v1/gifts/{gift_event_id}/undo`: the coins come back, the room is told."""
    identity, event_id = identity_of(request), str(request.path_params["gift_event_id"])
    if not wire.is_id(event_id):
        raise RequestError("not_found")
    context = context_of(request)
    coins_min, window_s = context.settings.undo_coins_min, region_of(identity.region).undo_window_s
    hub = context.hub
    undone = await undo(context.database, hub.wallets, hub.rooms, event_id, identity, coins_min, window_s)
    return json_response({"gift_event_id": event_id, "status": undone.status, "coins": undone.coins})


ROUTES = [Route("/v1/gifts/{gift_event_id}/undo", undo_gift, methods=["POST"])]
