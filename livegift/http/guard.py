"""The one place that admits requests: each route is wrapped in the rule that `access.ROUTES` has for it."""

from collections.abc import Iterable, Mapping
from copy import copy

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from livegift.contract.errors import RequestError
from livegift.http.context import IDENTITY, resources_of
from livegift.http.rates import RequestRates
from livegift.runtime import access
from livegift.runtime.access import RouteRule
from livegift.runtime.identity import Identity

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def methods_of(route: BaseRoute) -> list[tuple[str, str]]:
    """The (method, path) pairs that a route answers, as `access.ROUTES` names them."""
    if isinstance(route, WebSocketRoute):
        return [("WS", route.path)]
    if isinstance(route, Mount):
        return [("GET", route.path)]  # static files
    assert isinstance(route, Route)  # noqa: S101 - there is no other kind
    methods = route.methods or [m for m in _METHODS if getattr(route.endpoint, m.lower(), None) is not None]
    return [(method, route.path) for method in sorted(set(methods) - {"HEAD"})]


def guarded(routes: Iterable[BaseRoute], rates: RequestRates) -> list[BaseRoute]:
    """Return the same routes, each behind its rules and rate. Raises RuntimeError for one that is not in the table."""
    kept: list[BaseRoute] = []
    for route in routes:
        unknown = [pair for pair in methods_of(route) if pair not in access.ROUTES]
        if unknown:
            raise RuntimeError(f"access.ROUTES does not say who may {' and '.join(map(' '.join, unknown))}: add a rule")
        if isinstance(route, Mount):
            files = copy(route)
            files.app = rates.counting(route.app, access.ROUTES["GET", route.path].rate)
            kept.append(files)
        elif isinstance(route, Route):
            rules = {method: access.ROUTES[method, path] for method, path in methods_of(route)}
            wrapped = copy(route)  # routes are the modules' own, and several applications may be made of them
            wrapped.app = _Guard(route.app, rules, rates)
            kept.append(wrapped)
        else:
            kept.append(route)
    return kept


class _Guard:
    def __init__(self, app: ASGIApp, rules: Mapping[str, RouteRule], rates: RequestRates) -> None:
        self._app = app
        self._rates = rates
        self._rules = dict(rules)
        if "GET" in rules:
            self._rules["HEAD"] = rules["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self._rules.get(scope["method"])
        if rule is None:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._rules))})
        self._rates.spend(rule.rate, scope)
        if not rule.is_public:
            identity = _bearer(Request(scope))
            self._rates.spend_of(identity.user, rule.rate)
            access.require(rule, identity, scope["path_params"].get("room"))
            scope[IDENTITY] = identity
        await self._app(scope, receive, send)


def _bearer(request: Request) -> Identity:
    """Return who is asking. Raises RequestError('unauthenticated' or 'token_expired')."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RequestError("unauthenticated", "Expected a header `Authorization: Bearer <token>`.")
    return resources_of(request).tokens.verify(token.strip())
