"""docs/reference/http.md: each HTTP route with what it takes, answers and refuses, and the types of it all."""

from collections.abc import Iterable, Mapping
from typing import Any

from livegift.contract.bounds import HTTP_BODY_BYTES_MAX, ID_PATTERN, PATTERNS, USER_ID_EXPECTED, USER_ID_PATTERN
from livegift.http.openapi import PATH, document
from livegift.http.routing import ANY_CODES
from livegift.processes.app import sections
from livegift.reference.markdown import code, page, table

INTRODUCTION = f"""
A server describes what it answers itself at `GET {PATH}` (OpenAPI 3.1), for tools that make clients and tests of it.
This page says the same to people. `livegift dev` answers a few more routes, for the demo pages.

- **Tokens.** A route that names roles needs a header `Authorization: Bearer <token>` with a token of one of them.
- **Bodies** are JSON in UTF-8 of at most {HTTP_BODY_BYTES_MAX // 1024} KiB, unless another type is named.
- **Ids** are {PATTERNS[ID_PATTERN]}. Users' ids are {USER_ID_EXPECTED}.
- **Errors** are `application/problem+json` with a [code](errors.md). Each route can answer
  {", ".join(map(code, ANY_CODES))}, and one that needs a token `unauthenticated` and `token_expired` too.
- **Lists** come in pages: `next_cursor` of one page is the `cursor` of the next, and null on the last.
- **Repeating.** Where an `Idempotency-Key` is taken, repeat the request with the same key until there is an answer.
- **Money** is in minor units of its currency. **Times** (`…_ms`) are milliseconds since 1970.
"""
_WORDS = {**PATTERNS, ID_PATTERN: "id", USER_ID_PATTERN: "user id"}
_GENERAL = {*ANY_CODES, "unauthenticated", "token_expired"}
_NAME = "#/components/schemas/"
Json = Mapping[str, Any]


def write() -> str:
    """Return the page as the code has it now."""
    described = document(sections(with_demo=False))
    parts = [INTRODUCTION]
    for tag in described["tags"]:
        parts.append(f"## {tag['name']}")
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    parts += _route(described, f"{method.upper()} {path}", operation)
    parts.append("## Types")
    for name, schema in sorted(described["components"]["schemas"].items()):
        parts += _type(name, schema)
    return page("HTTP API", "the routes of livegift/features", *parts)


def _route(described: Json, name: str, operation: Json) -> Iterable[str]:
    yield f"### `{name}`"
    yield f"{operation['summary']}."
    if "description" in operation:
        yield operation["description"]
    if parameters := operation.get("parameters"):
        yield table(("parameter", "in", "type", "meaning"), map(_parameter, parameters))
    lines = []
    if body := operation.get("requestBody"):
        lines += [f"- Takes {said}" for said in _contents(body)]
    refusals: list[str] = []
    for status, response in operation["responses"].items():
        found = _resolved(described, response)
        refusals += [f"{code(known)} ({status})" for known in _codes(found) if known not in _GENERAL]
        lines += [f"- Answers {status}: {said}" for said in _contents(found)]
    if refusals:
        lines.append(f"- Refuses with {', '.join(refusals)}.")
    yield "\n".join(lines)


def _parameter(parameter: Json) -> tuple[str, str, str, str]:
    must = "" if parameter.get("required") else "optional"
    schema = parameter["schema"]
    told = (parameter.get("description", "").rstrip("."), must, _default(schema))
    return code(parameter["name"]), parameter["in"], _kind(schema), "; ".join(filter(None, told))


def _resolved(described: Json, response: Json) -> Json:
    name = response.get("$ref", "").rpartition("/")[2]
    found: Json = described["components"]["responses"][name] if name else response
    return found


def _codes(response: Json) -> list[str]:
    problem = response.get("content", {}).get("application/problem+json")
    return list(problem["schema"]["allOf"][1]["properties"]["code"]["enum"]) if problem else []


def _contents(holder: Json) -> Iterable[str]:
    """What is taken or answered, a sentence each; problems are told of elsewhere."""
    for media_type, content in holder.get("content", {}).items():
        if media_type == "application/json" and "description" not in content["schema"]:
            yield f"{_kind(content['schema'])}."
        elif media_type != "application/problem+json":
            yield f"{code(media_type)} ({content['schema']['description']})."


def _type(name: str, schema: Json) -> Iterable[str]:
    yield f"### {name}"
    if "description" in schema:
        yield schema["description"]
    required = set(schema.get("required", ()))
    rows = [_field(field, kind, is_required=field in required) for field, kind in schema["properties"].items()]
    yield table(("field", "type", "meaning"), rows)


def _field(name: str, schema: Json, *, is_required: bool) -> tuple[str, str, str]:
    inner = [schema, *schema.get("anyOf", ())]
    told = next((each["description"] for each in inner if "description" in each), "")
    return (
        code(name),
        _kind(schema),
        "; ".join(filter(None, (told, "" if is_required else "optional", _default(schema)))),
    )


def _default(schema: Json) -> str:
    found = schema.get("default")
    return "" if found is None else f"default {code(str(found).lower() if isinstance(found, bool) else found)}"


def _kind(schema: Json) -> str:
    """A schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_NAME)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(code(str(value).lower() if isinstance(value, bool) else value) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    if kind == "object" and "additionalProperties" in schema:
        return f"object of {_kind(schema['additionalProperties'])}"
    return _bounded(kind, schema)


def _bounded(kind: str, schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        return f"{kind}, {f'{low} to {high}' if high is not None else f'from {low} on'}"
    words = _WORDS.get(schema.get("pattern", ""), kind)
    return f"{words}, at most {schema['maxLength']} characters" if "maxLength" in schema else words
