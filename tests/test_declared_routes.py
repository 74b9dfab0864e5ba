"""Every route says what it takes and answers, and errors name what was wrong with it."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from livegift.composition import errors
from livegift.contract.errors import RequestError
from livegift.http.bodies import parse_query
from livegift.http.context import ROUTE, answer
from livegift.http.routing import Route
from livegift.runtime.access import PUBLIC, Rate
from tests.access_table import ROUTES
from tests.declared import undeclared

DECLARED = [entry for entry in ROUTES.values() if isinstance(entry, Route)]


@pytest.mark.parametrize("route", DECLARED, ids=str)
def test_every_route_declares_its_answer_and_what_it_takes(route: Route) -> None:
    assert route.answers or route.content or 300 <= route.status < 400, "expected answer= or content="
    assert route.body is not None or route.method not in ("PUT", "PATCH"), "expected body="
    assert set(route.parts) <= {part.strip("{}") for part in route.path.split("/") if part.startswith("{")}
    assert set(route.error_kinds) <= set(errors().values()), "expected each in a table, or a feature's slot"
    for kind in (*route.answers, route.query, route.body):
        if isinstance(kind, type):
            msgspec.json.schema(kind)


# --- What came, against what was declared -----------------------------------------------------------------------------


class _Query(Struct, frozen=True):
    user: Annotated[str, Meta(pattern="^[a-z]+$", description="a name")]
    limit: Annotated[int, Meta(ge=1, le=100, description="1 to 100 items")] = 100
    status: Literal["open", "closed"] | None = None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "user: expected a name, got ''"),
        ({"user": "1"}, "user: expected a name, got '1'"),
        ({"user": "ann", "limit": "101"}, "limit: expected 1 to 100 items, got '101'"),
        ({"user": "ann", "limit": "1.0"}, "limit: expected 1 to 100 items, got '1.0'"),
        ({"user": "ann", "limit": "²"}, "limit: expected 1 to 100 items, got '²'"),
        ({"user": "ann", "limit": "9" * 5000}, f"limit: expected 1 to 100 items, got '{'9' * 20}'"),
        ({"user": "ann", "status": "odd"}, "status: expected one of closed, open, got 'odd'"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected_and_what_came(given: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_query(given, _Query)
    assert (caught.value.code, caught.value.detail) == ("invalid", said)


def test_parameters_that_are_not_declared_are_ignored() -> None:
    assert parse_query({"user": "ann", "limit": "007", "x": "y"}, _Query) == _Query("ann", 7)


class _View(Struct, frozen=True):
    name: str


async def _other_answer(request: Request) -> Response:
    return answer(request, _View("x"))


def test_an_answer_that_the_route_does_not_declare_is_a_fault() -> None:
    route = Route("GET", "/x", PUBLIC, Rate.PLAIN, _other_answer, "X", answer=_Query)
    request = Request({"type": "http", ROUTE: route, "headers": []})
    with pytest.raises(TypeError, match="GET /x: expected its route to declare 200 _View"):
        answer(request, _View("x"))


@pytest.mark.parametrize(
    ("status", "media_type", "content", "wrong"),
    [
        (200, "application/json", b'{"balance":1,"seq":1,"frozen":false}', None),
        (200, "application/json", b'{"balance":1,"seq":1,"frozen":true,"frozen_reason":null}', None),
        (200, "application/json", b'{"balance":"1","seq":1,"frozen":false}', "not a WalletView"),
        (200, "application/json", b'{"balance":1,"seq":1}', "not a WalletView"),
        (200, "application/json", b'{"balance":1,"seq":1,"frozen":false,"more":1}', "more than a WalletView"),
        (201, "application/json", b'{"balance":1,"seq":1,"frozen":false}', "not 201"),
        (200, "text/html", b"<p>", "does not declare text/html"),
    ],
)
def test_the_recorder_sees_answers_that_are_not_as_declared(
    status: int, media_type: str, content: bytes, wrong: str | None
) -> None:
    said = undeclared("GET", "/v1/wallet?x=y", status, media_type, content)
    assert said is None if wrong is None else said is not None and wrong in said
