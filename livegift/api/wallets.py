"""What viewers and creators have."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift.api.context import context_of, identity_of, json_response
from livegift.ledger.engine import LedgerUnavailableError
from livegift.ledger.orders import frozen_reason


async def wallet(request: Request) -> Response:
    """`GET /v1/wallet`: what can be spent now."""
    user = identity_of(request).user
    found = await context_of(request).hub.wallets.read(user)
    body: dict[str, object] = {"balance": found.balance, "seq": found.seq, "frozen": found.frozen}
    if found.frozen:
        # null while the ledger has not booked it yet, or is away: the balance is told all the same.
        body["frozen_reason"] = None
        with suppress(LedgerUnavailableError):
            body["frozen_reason"] = await frozen_reason(context_of(request).database, user)
    return json_response(body)


ROUTES = [
    Route("/v1/wallet", wallet),
]
