"""The WebSocket protocol as an AsyncAPI 3.0 document, made from its Structs: `GET /asyncapi.json`."""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.commands import SUBPROTOCOL, type_of
from livegift.contract.errors import CLOSE_SENTENCES
from livegift.contract.event_kinds import EventKinds
from livegift.contract.events import ANY_EVENT
from livegift.contract.messages import Message
from livegift.http.context import cacheable
from livegift.http.routing import Content, Entry, Route
from livegift.hub.commands import Command, Commands
from livegift.runtime.access import PUBLIC, Rate

PATH = "/asyncapi.json"
CHANNEL = "v1"
ADDRESS = "/v1/ws"
_SCHEMA = "#/components/schemas/{name}"
_MESSAGE = "#/components/messages/"


def described(commands: Commands, messages: Iterable[type[Message]], events: EventKinds) -> tuple[Entry, ...]:
    """Return the route that answers with the document."""

    @cache
    def written() -> bytes:
        return msgspec.json.encode(document(commands, messages, events))

    async def asyncapi(request: Request) -> Response:
        """`GET /asyncapi.json`: the commands, messages and events of the WebSocket."""
        return cacheable(request, written(), {})

    route = Route(
        "GET",
        PATH,
        PUBLIC,
        Rate.QUERY,
        asyncapi,
        "Read the description of the WebSocket (AsyncAPI 3.0)",
        content=Content("application/json", "An AsyncAPI document"),
        is_cacheable=True,
        is_compressed=True,
    )
    return (route,)


def document(commands: Commands, messages: Iterable[type[Message]], events: EventKinds) -> dict[str, Any]:
    """Return the document. What clients send is `receive`, as AsyncAPI speaks for the server."""
    sent = {_name(kind): _message(kind) for kind in messages}
    taken = {_name(command.kind): _command(command) for command in commands.by_type.values()}
    values = {name: part.value_type for name, part in events.parts.items()}
    kinds = [*(command.kind for command in commands.by_type.values()), *messages, *(each.kind for each in events)]
    kinds += [value for value in values.values() if value not in kinds]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_SCHEMA)
    schemas[ANY_EVENT] = {
        "description": "An event of a room.",
        "oneOf": [{"$ref": _SCHEMA.format(name=each.kind.__name__)} for each in events],
        "discriminator": "type",
    }
    snapshot = schemas["RoomSnapshot"]
    for name, part in events.parts.items():
        latest = {"$ref": _SCHEMA.format(name=values[name].__name__)}
        snapshot["properties"][name] = {"type": "array", "items": latest, "maxItems": part.values_max}
        snapshot["required"].append(name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "livegift",
            "version": version("livegift"),
            "description": _closes(),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            CHANNEL: {
                "address": ADDRESS,
                "description": f"One JSON object in each text frame. Subprotocol (optional): `{SUBPROTOCOL}`.",
                "messages": {name: {"$ref": _MESSAGE + name} for name in {**taken, **sent}},
                "bindings": {"ws": {"method": "GET", "query": _query()}},
            }
        },
        "operations": {
            "send": _operation("receive", "What clients send.", taken),
            "receive": _operation("send", "What clients receive.", sent),
        },
        "components": {"messages": {**taken, **sent}, "schemas": schemas},
    }


def _operation(action: str, summary: str, messages: Mapping[str, object]) -> dict[str, Any]:
    channel = f"#/channels/{CHANNEL}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": summary,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
    }


def _query() -> dict[str, Any]:
    token = {"type": "string", "description": "A token, where only an address can be given; else it is in `hello`."}
    return {"type": "object", "properties": {"token": token}}


def _message(kind: type[Struct]) -> dict[str, Any]:
    text = (inspect.getdoc(kind) or "").split("\n\n", 1)
    return {
        "name": type_of(kind),
        "summary": text[0].replace("\n", " "),
        **({"description": text[1]} if len(text) > 1 else {}),
        "payload": {"$ref": _SCHEMA.format(name=kind.__name__)},
    }


def _command(command: Command[Any]) -> dict[str, Any]:
    found = _message(command.kind)
    if command.rule.roles is not None:
        notes = [found.get("description", ""), f"Roles: {', '.join(sorted(command.rule.roles))}."]
        found["description"] = "\n\n".join(filter(None, notes))
    return found


def _name(kind: type[Struct]) -> str:
    return kind.__name__


def _closes() -> str:
    """Return the close codes as a list."""
    return "Close codes:\n\n" + "\n".join(f"- {code.value}: {said}" for code, said in CLOSE_SENTENCES.items())
