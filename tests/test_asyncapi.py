"""GET /asyncapi.json: what it says of `/v1/ws` is what goes over it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from livegift.contract.commands import type_of
from livegift.http.asyncapi import document
from livegift.processes.app import commands, event_kinds, messages
from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def made() -> dict[str, Any]:
    return document(commands(), messages(), event_kinds())


def wrong_in(found: Mapping[str, Any], frame: Mapping[str, Any]) -> list[str]:
    """What is wrong with a frame, as each of the messages of its type would have it; empty when one fits."""
    problems: list[str] = []
    for message in found["components"]["messages"].values():
        if message["name"] != frame["type"]:
            continue
        schema = {"components": found["components"], **message["payload"]}
        errors = [error.message for error in OAS31Validator(schema).iter_errors(frame)]
        if not errors:
            return []
        problems += errors
    return problems or [f"no message of type {frame['type']}"]


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "$ref":
                yield part
            else:
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_every_reference_leads_somewhere() -> None:
    found = made()
    for reference in references(found):
        at: Any = found
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_every_command_message_and_event_is_described() -> None:
    found = made()
    named = {message["name"] for message in found["components"]["messages"].values()}
    assert named == {*commands().by_type, *(type_of(message) for message in messages())}
    events = [reference["$ref"].rpartition("/")[2] for reference in found["components"]["schemas"]["AnyEvent"]["oneOf"]]
    assert events == [each.kind.__name__ for each in event_kinds()]


def test_frames_that_are_not_as_described_are_found() -> None:
    found = made()
    assert wrong_in(found, {"type": "room.gap", "room": "r1", "from_seq": 1, "to_seq": 2}) == []
    assert wrong_in(found, {"type": "room.gap", "room": "r1", "from_seq": "1", "to_seq": 2})
    assert wrong_in(found, {"type": "room.gab", "room": "r1", "from_seq": 1, "to_seq": 2})
    gift = {"type": "gift", "id": "g1", "ts_ms": 1, "seq": 1}
    frame = {"type": "room.events", "room": "r1", "epoch": 1, "first_seq": 1, "seq": 1, "totals": {}, "events": [gift]}
    assert wrong_in(found, frame)


async def test_what_a_viewer_gets_is_as_described(system: System) -> None:
    status, found = system.http("GET", "/asyncapi.json")
    assert status == 200
    system.open_room("described", "dora")
    await system.grant({"anna": 50}, ref="described")
    async with Viewer(system.address(), system.token("anna")) as viewer:
        await viewer.join("described")
        for fields in ({"message": "hi"}, {"anonymous": True}):
            assert (await viewer.gift("described", **fields))["status"] == "accepted"
        assert (await viewer.gift("described", "nothing"))["status"] == "rejected"
        await viewer.send(type="ping", t=[1], id=7)
        await viewer.expect("pong", id=7)
        await viewer.send(type="room.join", room="nowhere")
        await viewer.expect("error", room="nowhere")
        await viewer.wait_for(lambda: len(viewer.events("described")) > 1, "two events")
        kinds = {frame["type"] for frame in viewer.frames}
        assert kinds >= {"welcome", "room.snapshot", "room.events", "gift.result", "pong", "error"}
        assert {frame["type"]: wrong for frame in viewer.frames if (wrong := wrong_in(found, frame))} == {}
