"""The route for undoing an expensive gift, where the viewer's region allows some time for that."""

from starlette.requests import Request
from starlette.responses import Response

from livegift.domain.regions import region_of
from livegift.features.corrections.bodies import UndoneGift
from livegift.features.corrections.service import undo
from livegift.features.corrections.settings import CorrectionSettings
from livegift.http.context import answer, gift_event_of, identity_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import OWN_GIFT, Rate


async def undo_gift(request: Request) -> Response:
    """`POST /v1/gifts/{gift_event_id}/undo`: return the coins; the gift no longer counts anywhere."""
    identity = identity_of(request)
    event_id, place = gift_event_of(request)
    resources = resources_of(request)
    coins_min = resources.settings.of(CorrectionSettings).undo_coins_min
    window_s = region_of(identity.region).undo_window_s
    undone = await undo(resources.database, resources.wallets, place, identity, coins_min, window_s)
    return answer(request, UndoneGift(event_id, undone.status, undone.coins))


ROUTES = (
    Route(
        "POST",
        "/v1/gifts/{gift_event_id}/undo",
        OWN_GIFT,
        Rate.COSTLY,
        undo_gift,
        "Undo an expensive gift",
        answer=UndoneGift,
        errors=("not_found", "too_late", "conflict"),
    ),
)
