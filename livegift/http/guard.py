"""The guard that admits requests: each route is served behind its own rule and rate."""

from collections import Counter
from collections.abc import Iterable, Sequence

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.routing import Route as Path
from starlette.types import Receive, Scope, Send

from livegift.contract.errors import RequestError
from livegift.http.context import IDENTITY, ROUTE, resources_of
from livegift.http.rates import RequestRates
from livegift.http.routing import Entry, Files, Route
from livegift.runtime import access
from livegift.runtime.bounds import COMPRESS_BYTES_MIN
from livegift.runtime.identity import Identity

_COMPRESSION = Middleware(GZipMiddleware, minimum_size=COMPRESS_BYTES_MIN, compresslevel=5)


def guarded(entries: Sequence[Entry], rates: RequestRates) -> list[BaseRoute]:
    """Return the routes that serve `entries`, in order. Raises RuntimeError when two have the same method and path."""
    times = Counter((entry.method, entry.path) for entry in entries)
    if twice := [f"{method} {path}" for (method, path), count in times.items() if count > 1]:
        raise RuntimeError(f"expected one route each for {' and '.join(twice)}: two features offer it")
    # One for each path, so that a response to a wrong method can list all right ones.
    paths: dict[str, list[Route]] = {}
    for entry in entries:
        if isinstance(entry, Route):
            paths.setdefault(entry.path, []).append(entry)
    served: list[BaseRoute] = []
    for entry in entries:
        if isinstance(entry, Files):
            served.append(Mount(entry.folder, rates.counting(entry.app(), entry.rate)))
        elif not isinstance(entry, Route):
            served.append(WebSocketRoute(entry.path, entry.handler))
        elif routes := paths.pop(entry.path, []):
            served.append(Path(entry.path, _Guard(routes, rates), methods=[route.method for route in routes]))
    return served


class _Guard:
    """The routes of one path."""

    def __init__(self, routes: Iterable[Route], rates: RequestRates) -> None:
        self._rates = rates
        self._routes = {
            route.method: (
                route,
                Path(route.path, route.handler, middleware=[_COMPRESSION] if route.is_compressed else None).app,
            )
            for route in routes
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, app = self._routes["GET" if scope["method"] == "HEAD" else scope["method"]]
        self._rates.spend(route.rate, scope)
        scope[ROUTE] = route
        if not route.rule.is_public:
            identity = _bearer(Request(scope))
            self._rates.spend_of(identity.user, route.rate)
            access.require(route.rule, identity, scope["path_params"].get("room"))
            scope[IDENTITY] = identity
        await app(scope, receive, send)


def _bearer(request: Request) -> Identity:
    """Return the bearer's identity. Raises RequestError('unauthenticated' or 'token_expired')."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RequestError("unauthenticated", "Expected a header `Authorization: Bearer <token>`.")
    return resources_of(request).tokens.verify(token.strip())
