"""The description of the HTTP API: valid by the standard, complete, and what the server answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from livegift.composition import errors
from livegift.http.openapi import document
from livegift.http.routing import Route
from livegift.processes.app import sections
from tests.access_table import ROUTES
from tests.system import System

DOCUMENT = json.loads(json.dumps(document(sections(with_demo=True))))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").removeprefix("#/components/responses/")
    return DOCUMENT["components"]["responses"][name] if name else response


def test_it_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_it_has_every_route_once() -> None:
    there = {(method, path) for method, path, _ in operations()} | {("GET", "/openapi.json")}
    assert there == {pair for pair, entry in ROUTES.items() if isinstance(entry, Route)}
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_no_handlers_own_name_is_left_in_a_description() -> None:
    assert not [path for _, path, operation in operations() if "`/" in operation.get("description", "")]


def test_a_route_without_a_token_says_so() -> None:
    for method, path, operation in operations():
        is_public = ROUTES[method, path].rule.is_public
        assert ({} in operation["security"] or not operation["security"]) == is_public, path
        assert ("401" in operation["responses"]) == (not is_public), path


def test_errors_are_problems_with_the_codes_of_their_status() -> None:
    for method, path, operation in operations():
        codes = set()
        for status, response in operation["responses"].items():
            problem = resolved(response).get("content", {}).get("application/problem+json")
            assert problem is not None or int(status) < 400, (path, status)
            if problem is not None:
                found = problem["schema"]["allOf"][1]["properties"]["code"]["enum"]
                assert {errors()[code].http_status for code in found} == {int(status)}
                codes |= set(found)
        route = ROUTES[method, path]
        assert isinstance(route, Route)
        assert codes == {kind.code for kind in route.error_kinds}


def test_what_is_asked_for_is_described() -> None:
    posted = DOCUMENT["paths"]["/v1/orders"]["post"]
    assert posted["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/OrderRequest"
    }
    assert [each["name"] for each in posted["parameters"]] == ["Idempotency-Key"]
    listed = {each["name"]: each for each in DOCUMENT["paths"]["/v1/rooms"]["get"]["parameters"]}
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 100}
    decided = DOCUMENT["paths"]["/v1/admin/corrections/{id}/{decision}"]["post"]["parameters"]
    assert decided[1]["schema"] == {"enum": ["approve", "reject"]}


@pytest.mark.parametrize("path", ["/demo/token", "/demo/coins"])
def test_what_only_a_private_system_has_is_not_in_others_descriptions(path: str) -> None:
    assert path in DOCUMENT["paths"]
    assert path not in document(sections(with_demo=False))["paths"]


def test_the_server_answers_with_it(shared_system: System) -> None:
    status, served = shared_system.http("GET", "/openapi.json")
    assert status == 200
    assert {**served["paths"], "/openapi.json": None} == {
        **json.loads(json.dumps(document(sections(with_demo=False))))["paths"],
        "/openapi.json": None,
    }
    assert "/openapi.json" in served["paths"]
