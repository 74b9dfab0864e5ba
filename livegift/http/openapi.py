"""The HTTP API as an OpenAPI 3.1 document, made from what the routes declare."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import ErrorKind
from livegift.contract.http import Problem
from livegift.contract.values import Id
from livegift.http.context import cacheable
from livegift.http.problems import PROBLEM
from livegift.http.routing import Content, Entry, Route
from livegift.runtime.access import PUBLIC, Rate, Rule, Scope

PATH = "/openapi.json"
JSON = "application/json"
Sections = Mapping[str, Sequence[Entry]]
_REF = "#/components/schemas/{name}"
_RESPONSES = "#/components/responses/"
_PART = re.compile(r"{(\w+)}")
# A handler's docstring begins with its own method and path.
_OWN_NAME = re.compile(r"^`[A-Z]+ /[^`]*`(?: (?:or )?`[^`]*`)*[.:,]? ?")
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of the host product: its `sub` is the user, its `role` one of those that a route names.",
}
_ROOMS = {
    Scope.ROOM: "A token that is limited to rooms has to be for this one.",
    Scope.FOUND: "A token that is limited to rooms has to be for this one.",
    Scope.OWN: "",
    Scope.ACCOUNT: "A token that is limited to rooms is refused.",
}
_HEADERS: dict[int, dict[str, Any]] = {
    201: {"Location": {"description": "the address of what was made, if it has one", "schema": {"type": "string"}}},
    307: {"Location": {"description": "where it is", "schema": {"type": "string"}}},
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "seconds after which the same passes", "schema": {"type": "integer"}}},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request again gets the same answer, and nothing is done twice.",
}
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer that is known.",
    "schema": {"type": "string"},
}


def described(sections: Sections) -> tuple[Entry, ...]:
    """Return the route that answers with the document of `sections` and of itself."""

    @cache
    def written() -> bytes:
        return msgspec.json.encode(document({**sections, "description": (route, *sections.get("description", ()))}))

    async def openapi(request: Request) -> Response:
        return cacheable(request, written(), {})

    route = Route(
        "GET",
        PATH,
        PUBLIC,
        Rate.QUERY,
        openapi,
        "Read this description (OpenAPI 3.1)",
        content=Content(JSON, "An OpenAPI document"),
        is_cacheable=True,
        is_compressed=True,
    )
    return (route,)


def document(sections: Sections) -> dict[str, Any]:
    """Return the document of all routes, each under its section's name as a tag."""
    tagged = [
        (_title(name), route) for name, entries in sections.items() for route in entries if isinstance(route, Route)
    ]
    kinds = dict.fromkeys(kind for _, route in tagged for kind in _types_of(route))
    _, schemas = msgspec.json.schema_components([*kinds, Problem], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for tag, route in tagged:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(tag, route)
    problems = {_name(errors): _problem(errors) for _, route in tagged for errors in _errors_by_status(route).values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "livegift",
            "version": version("livegift"),
            "summary": "Coins, gifts and diamonds in live streams.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(tag for tag, _ in tagged)],
        "paths": paths,
        "components": {"schemas": schemas, "responses": problems, "securitySchemes": {"token": _TOKEN}},
    }


def _title(section: str) -> str:
    return section.replace("_", " ").capitalize()


def _types_of(route: Route) -> Iterable[type[Struct]]:
    yield from route.answers
    if isinstance(route.body, type):
        yield route.body


def _operation(tag: str, route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [tag],
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path.removeprefix('/v1')}").strip("_"),
        "summary": route.summary,
        "description": "\n\n".join(filter(None, (_more(route), _access(route.rule)))),
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": _security(route),
    }
    if isinstance(route.body, Content):
        found["requestBody"] = {"required": True, "content": _content(route.body)}
    elif route.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _schema(route.body)}}}
    return {name: value for name, value in found.items() if value not in ("", [])} | {"security": found["security"]}


def _more(route: Route) -> str:
    """What the handler's docstring says beside its own name."""
    text = _OWN_NAME.sub("", inspect.getdoc(route.handler) or "").strip()
    return text[:1].upper() + text[1:]


def _access(rule: Rule) -> str:
    if rule.roles is None:
        return ""
    return " ".join(filter(None, (f"Roles: {', '.join(sorted(rule.roles))}.", _ROOMS[rule.scope])))


def _security(route: Route) -> list[dict[str, list[str]]]:
    if not route.rule.is_public:
        return [{"token": []}]
    return [] if route.optional is None else [{}, {"token": []}]


# --- Parameters -------------------------------------------------------------------------------------------------------


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _schema(route.parts.get(name, Id))}
        for name in _PART.findall(route.path)
    ]
    if route.query is not None:
        found += [_query_parameter(each) for each in structs.fields(route.query)]
    if route.takes_key:
        found.append({**_KEY, "schema": _schema(Id)})
    if route.is_cacheable:
        found.append(_KNOWN)
    return found


def _query_parameter(field: structs.FieldInfo) -> dict[str, Any]:
    kind = field.type
    if get_origin(kind) in (Union, UnionType):  # None is one that is left out
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    schema = _schema(kind)
    if field.default not in (None, msgspec.NODEFAULT):
        schema["default"] = field.default
    shown = {"description": text} if (text := schema.pop("description", "")) else {}
    return {"name": field.encode_name, "in": "query", "required": field.required, **shown, "schema": schema}


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


# --- Answers ----------------------------------------------------------------------------------------------------------


def _responses(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.answers:
        schemas = [_schema(kind) for kind in route.answers]
        content[JSON] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    if route.content is not None:
        content |= _content(route.content)
    texts = [_first_line(kind) for kind in route.answers] or ([route.content.description] if route.content else [])
    shown = {"description": " ".join(texts) or "Another address."}
    found = {
        status: {**shown, **({"content": content} if content else {}), **_with_headers(status)}
        for status in (route.status, *route.also)
    }
    if route.is_cacheable:
        found[304] = {"description": "It is what the client knows already."}
    for status, errors in _errors_by_status(route).items():
        found[status] = _beside(found[status], errors) if status in found else {"$ref": f"{_RESPONSES}{_name(errors)}"}
    return {str(status): found[status] for status in sorted(found)}


def _content(content: Content) -> dict[str, Any]:
    """A body or an answer of another type. Of foreign JSON nothing is known."""
    kind = {} if content.media_type == JSON else {"type": "string"}
    return {content.media_type: {"schema": {**kind, "description": content.description}}}


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def _errors_by_status(route: Route) -> dict[int, tuple[ErrorKind, ...]]:
    found: dict[int, tuple[ErrorKind, ...]] = {}
    for error in route.error_kinds:
        found[error.http_status] = (*found.get(error.http_status, ()), error)
    return found


def _name(errors: Iterable[ErrorKind]) -> str:
    """The name of the response that has one of these codes."""
    return ".".join(error.code for error in errors)


def _problem(errors: Sequence[ErrorKind]) -> dict[str, Any]:
    """The response with one of these codes, which have the same status."""
    schema = {"allOf": [_schema(Problem), {"properties": {"code": {"enum": [error.code for error in errors]}}}]}
    return {
        "description": "\n".join(f"`{error.code}`: {error.sentence}" for error in errors),
        "content": {PROBLEM: {"schema": schema}},
        **_with_headers(errors[0].http_status),
    }


def _beside(answer: Mapping[str, Any], errors: Sequence[ErrorKind]) -> dict[str, Any]:
    """The response of a status that has an answer, or else a problem."""
    problem = _problem(errors)
    return {
        **answer,
        "description": f"{answer['description']}\n{problem['description']}",
        "content": {**answer.get("content", {}), **problem["content"]},
    }


def _with_headers(status: int) -> dict[str, Any]:
    return {"headers": _HEADERS[status]} if status in _HEADERS else {}
