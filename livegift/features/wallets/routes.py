"""The routes of wallets."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from livegift.features.spending_limits.public import frozen_reason
from livegift.features.wallets.bodies import WalletView
from livegift.http.context import answer, identity_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import WALLET, Rate


async def wallet(request: Request) -> Response:
    """`GET /v1/wallet`: the coins that can be spent now."""
    user = identity_of(request).user
    found = await resources_of(request).wallets.read(user)
    reason = await frozen_reason(resources_of(request), user) if found.frozen else UNSET
    return answer(request, WalletView(found.balance, found.seq, found.frozen, reason))


ROUTES = (Route("GET", "/v1/wallet", WALLET, Rate.PLAIN, wallet, "Read the wallet's balance", answer=WalletView),)
