"""Requests that are made to break something: each gets a problem with a code, and nothing of ours fails on it."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile import unharmed
from tests.system import System


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def request(
    system: System, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, Any]:
    connection = http.client.HTTPConnection(system.address(), timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        return response.status, response.headers, json.loads(content) if content else None
    finally:
        connection.close()


def assert_problem(got: tuple[int, http.client.HTTPMessage, Any], status: int, code: str) -> None:
    """RFC 9457."""
    assert (got[0], got[2]["code"]) == (status, code), got[2]
    assert got[1]["content-type"] == "application/problem+json"
    assert got[2]["status"] == status
    assert {"type", "title", "detail", "retryable"} <= set(got[2])


def as_creator(system: System, **claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {system.token('bob', 'creator', **claims)}"}


BODIES = {
    "NUL in a text": b'{"title":"a\\u0000b"}',
    "not UTF-8": b'{"title":"\xff\xfe"}',
    "UTF-16": '{"title":"x"}'.encode("utf-16"),
    "deep": b'{"title":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep in an unknown field": b'{"title":"x","y":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "number": b"7",
    "list": b"[]",
    "null": b"null",
    "empty": b"",
    "spaces": b"   ",
    "two": b'{"title":"x"}{"title":"y"}',
    "NaN": b'{"title":NaN}',
    "title is a number": b'{"title":7}',
    "an id with a line's end": b'{"title":"x","id":"abc\\n"}',
    "kind of its own": b'{"title":"x","kind":"party"}',
    "a form": b"title=x",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_valid(system: System, name: str) -> None:
    assert_problem(request(system, "POST", "/v1/rooms", BODIES[name], as_creator(system)), 400, "invalid")


@pytest.mark.parametrize("body", [b'{"title":"\\u0000"}', b'{"status":"live"}', b'{"status":null,"x":1}', b"[]"])
def test_a_change_that_is_not_valid(system: System, body: bytes) -> None:
    assert_problem(request(system, "PATCH", "/v1/rooms/r1", body, as_creator(system)), 400, "invalid")


@pytest.mark.parametrize("name", ["\x00", "\ud83d", "a\x00b"])
def test_a_creators_name_that_the_ledger_cannot_keep(system: System, name: str) -> None:
    got = request(system, "POST", "/v1/rooms", b'{"title":"x"}', as_creator(system, name=name))
    assert got[0] in (200, 201) or got[2]["code"] in ("invalid", "unauthenticated"), got


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=1.5",
        "limit=x",
        "limit=",
        "limit=%00",
        "limit=%C2%B2",
        f"limit={'9' * 5000}",
        "cursor=%00",
        "cursor=a%00b",
    ],
)
def test_a_page_that_cannot_be(system: System, query: str) -> None:
    assert_problem(request(system, "GET", f"/v1/rooms?{query}"), 400, "invalid")


@pytest.mark.parametrize("subject", ["", "%00", "user%3A%00", "a%0Ab", "x" * 201])
def test_a_subject_that_no_act_can_have_is_not_asked_for(system: System, subject: str) -> None:
    """PostgreSQL has no text with NUL, and says so by an error."""
    headers = {"Authorization": f"Bearer {system.token('root', 'admin')}"}
    assert_problem(request(system, "GET", f"/v1/admin/acts?subject={subject}", headers=headers), 400, "invalid")


@pytest.mark.parametrize("query", ["region=%00", "region=", "region=%ff", f"region={'X' * 5000}", "region=US%00"])
@pytest.mark.parametrize("path", ["/v1/coin-packages", "/v1/rates"])
def test_a_region_that_cannot_be_has_the_prices_of_the_default_one(system: System, path: str, query: str) -> None:
    """As any other that nobody has set prices for; the database is asked for none that it can't keep."""
    status, _, got = request(system, "GET", f"{path}?{query}")
    assert (status, got["packages"]) == (200, request(system, "GET", f"{path}?region=US")[2]["packages"])
    assert got["packages"]


@pytest.mark.parametrize(
    "room", ["%00", "r1%0A", "r1%00", "%ff%fe", "%7Br1%7D", "r" * 65, "r1%20", "%C3%A9", "..%2fr1"]
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_room_that_cannot_be_is_not_found(system: System, method: str, room: str) -> None:
    body = b'{"title":"x"}' if method == "PATCH" else None
    status, headers, problem = request(system, method, f"/v1/rooms/{room}", body, as_creator(system))
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert problem["code"] in ("room_not_found", "not_found")


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer  ", "Basic YTpi", "Bearer a b", "Bearer \xe9", "x" * 5000]
)
def test_a_header_that_is_no_token(system: System, value: str) -> None:
    got = request(system, "GET", "/v1/wallet", headers={"Authorization": value})
    assert_problem(got, 401, "unauthenticated")
    assert got[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/gifts", {"GET", "HEAD"}),
        ("PUT", "/v1/rooms", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/rooms/r1", {"GET", "HEAD", "PATCH"}),
        ("BREW", "/v1/wallet", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_taken_names_those_that_are(
    system: System, method: str, path: str, allowed: set[str]
) -> None:
    """RFC 9110, 15.5.6: a 405 has an Allow header."""
    got = request(system, method, path)
    assert_problem(got, 405, "method_not_allowed")
    assert set(got[1]["allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/rooms/r1/x", "/v1/ws", "/demo/token", "/%00", "//"])
def test_a_path_that_is_not_there(system: System, path: str) -> None:
    assert_problem(request(system, "GET", path), 404, "not_found")


def test_a_body_without_an_end_is_too_large(system: System) -> None:
    connection = http.client.HTTPConnection(system.address(), timeout=10)
    try:
        connection.putrequest("POST", "/v1/rooms")
        for name, value in {**as_creator(system), "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for _ in range(70):
            connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")
    finally:
        connection.close()
