"""Rate limits of HTTP routes: budgets of an address and of a user, in units (decision 029).

A route's rate (`access.Rate`) says what a request costs. Both budgets are this process's own, as connections are.
"""

from typing import NoReturn

from starlette.types import ASGIApp, Receive, Scope, Send

from livegift.contract.errors import RateLimitedError
from livegift.hub.rates import Buckets
from livegift.runtime import refusals
from livegift.runtime.access import Rate
from livegift.runtime.bounds import (
    COSTLY_REQUEST_UNITS,
    PROBES_PER_S_MAX,
    QUERY_REQUEST_UNITS,
    REQUEST_BURST_S,
    WEBHOOKS_PER_S_MAX,
)
from livegift.runtime.net import network_of
from livegift.runtime.settings import Settings

UNITS = {
    Rate.PROBE: 1,
    Rate.PLAIN: 1,
    Rate.QUERY: QUERY_REQUEST_UNITS,
    Rate.COSTLY: COSTLY_REQUEST_UNITS,
    Rate.WEBHOOK: 1,
}


def _buckets(per_s_max: int) -> Buckets:
    # The most expensive request has to fit in, or it would never pass.
    return Buckets(per_s_max, max(REQUEST_BURST_S * per_s_max, COSTLY_REQUEST_UNITS))


class RequestRates:
    """The budgets of one web process."""

    def __init__(self, settings: Settings) -> None:
        """Create the budgets from the settings; probes and webhooks have limits of the system."""
        self._requests = _buckets(settings.requests_per_s_max)
        self._users = _buckets(settings.user_requests_per_s_max if settings.requests_per_s_max else 0)
        self._own = {Rate.PROBE: _buckets(PROBES_PER_S_MAX), Rate.WEBHOOK: _buckets(WEBHOOKS_PER_S_MAX)}

    def spend(self, rate: Rate, scope: Scope) -> None:
        """Count a request for its address, before anything else is checked. Raises RateLimitedError."""
        # Behind a trusted proxy uvicorn has already replaced the proxy's address by the client's.
        address = scope["client"][0] if scope.get("client") else ""
        wait_ms = self._own.get(rate, self._requests).take(network_of(address), UNITS[rate])
        if wait_ms:
            _refuse(rate.name.lower() if rate in self._own else "address", wait_ms, address=address)

    def spend_of(self, user: str, rate: Rate) -> None:
        """Count a request for its token's user as well. Raises RateLimitedError."""
        wait_ms = self._users.take(user, UNITS[rate])
        if wait_ms:
            _refuse("user", wait_ms, user=user)

    def counting(self, app: ASGIApp, rate: Rate) -> ASGIApp:
        """Return `app` with every request to it counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.spend(rate, scope)
            await app(scope, receive, send)

        return counted


def _refuse(reason: str, wait_ms: int, **who: str) -> NoReturn:
    refusals.note("request.refused", reason, **who)
    raise RateLimitedError(wait_ms)
