"""What viewers and creators have."""

from starlette.requests import Request
from starlette.responses import Response

from livegift.features.spending_limits.routes import frozen_reason
from livegift.http.context import identity_of, json_response, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import WALLET, Rate


async def wallet(request: Request) -> Response:
    """`GET /v1/wallet`: what can be spent now."""
    user = identity_of(request).user
    found = await resources_of(request).wallets.read(user)
    body: dict[str, object] = {"balance": found.balance, "seq": found.seq, "frozen": found.frozen}
    if found.frozen:
        body["frozen_reason"] = await frozen_reason(resources_of(request), user)
    return json_response(body)


ROUTES = (Route("GET", "/v1/wallet", WALLET, Rate.PLAIN, wallet, "Read the wallet's balance"),)
