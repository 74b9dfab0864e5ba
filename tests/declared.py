"""What routes declare, compared with what they answer: every answer that a test gets through `System.http` is."""

import json
import re
from urllib.parse import urlsplit

import msgspec

from livegift.composition import errors
from livegift.contract.http import Problem
from livegift.http.routing import Route
from tests.access_table import ROUTES

JSON, PROBLEM = "application/json", "application/problem+json"
_ROUTES = [
    (method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), entry)
    for (method, path), entry in ROUTES.items()
    if isinstance(entry, Route)
]


def route_of(method: str, path: str) -> Route | None:
    """The route that answers there; one without parts in its path goes first, as in the order of features."""
    found = [route for known, at, route in _ROUTES if known == method and at.fullmatch(path)]
    return min(found, key=lambda route: "{" in route.path, default=None)


def undeclared(method: str, target: str, status: int, media_type: str, content: bytes) -> str | None:
    """Say what of an answer its route does not declare; None when all of it is declared, or no route answered."""
    route = route_of("GET" if method == "HEAD" else method, urlsplit(target).path)
    if route is None or status == 304 or not content:
        return None
    if media_type == PROBLEM:
        return _undeclared_problem(route, status, content)
    if route.content is not None and media_type.partition(";")[0] == route.content.media_type:
        return None
    if status not in (route.status, *route.also):
        return f"{route} declares {route.status} {route.also or ''}, not {status}"
    if media_type != JSON or not route.answers:
        return f"{route} does not declare {media_type}"
    wrong = [_difference(content, kind) for kind in route.answers]
    return None if None in wrong else f"{route}: {' and '.join(filter(None, wrong))}: {content[:500]!r}"


def _difference(content: bytes, kind: type[msgspec.Struct]) -> str | None:
    """None when the JSON is one of this type, without a field more."""
    try:
        written = msgspec.json.encode(msgspec.json.decode(content, type=kind))
    except msgspec.ValidationError as error:
        return f"not a {kind.__name__}: {error}"
    return None if json.loads(written) == json.loads(content) else f"more than a {kind.__name__}"


def _undeclared_problem(route: Route, status: int, content: bytes) -> str | None:
    problem = msgspec.json.decode(content, type=Problem)
    if problem.status != status or errors()[problem.code].http_status != status:
        return f"{route}: {problem.code} with status {status}"
    return (
        None
        if problem.code in {kind.code for kind in route.error_kinds}
        else f"{route} does not declare the error {problem.code}"
    )
