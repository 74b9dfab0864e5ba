"""A feature's events, from its route and its command to viewers and snapshots, without a line outside the feature."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from livegift import composition
from livegift.contract.commands import Identified, type_of
from livegift.contract.event_kinds import CORE_EVENTS, EventKind, Lane, RoomPart
from livegift.contract.events import Event, User
from livegift.contract.messages import MESSAGES, Message
from livegift.contract.values import Id
from livegift.features.slots import Feature
from livegift.http.context import identity_of, resources_of, room_id_of
from livegift.http.routing import Route
from livegift.hub.commands import Client, Command
from livegift.processes.app import create_app, event_kinds
from livegift.runtime.access import WATCH, Rate
from livegift.runtime.bounds import ROOM_EVENT_BYTES_MAX
from livegift.runtime.identity import tokens_of
from livegift.runtime.settings import Settings
from livegift.store.client import Store
from livegift.store.rooms import Rooms
from tests.viewer import Viewer
from tests.waiting import wait_until


class Shout(Event, frozen=True, kw_only=True, tag="shout"):
    """Somebody says something."""

    user: User
    text: str


class Tally(Event, frozen=True, kw_only=True, tag="tally"):
    """How a poll stands."""

    poll_id: Id
    votes: int


class Vote(Identified, tag="tally.vote", frozen=True):
    """One more vote, the `number`th; with `last` the poll is over."""

    room: Id
    poll_id: Id
    number: int
    last: bool = False


class Counted(Message, frozen=True, kw_only=True, tag="tally.result"):
    """The answer to a vote."""

    is_news: bool


SHOUTS = EventKind(Shout, Lane.CONFLATED)
TALLIES = EventKind(Tally, Lane.LATEST, key="poll_id")
SHOWN_TALLIES = RoomPart("tallies", TALLIES, values_max=2)


async def shout(request: Request) -> Response:
    identity, text = identity_of(request), (await request.body()).decode()
    event = Shout(id=request.headers["Idempotency-Key"], ts_ms=1, user=User(id=identity.user, name="Ann"), text=text)
    is_news = await resources_of(request).room_events.publish(room_id_of(request), event)
    return Response(b"", 201 if is_news else 200)


async def vote(client: Client, command: Vote) -> None:
    tally = Tally(id=f"{command.poll_id}-{command.number}", ts_ms=1, poll_id=command.poll_id, votes=command.number)
    is_news = await client.resources.room_events.publish_latest(
        command.room, SHOWN_TALLIES, tally, version=command.number, is_over=command.last
    )
    client.answer(command.id, Counted(is_news=is_news))


FEATURE = Feature(
    "shouts and tallies",
    routes=(Route("POST", "/v1/rooms/{room}/shouts", WATCH, Rate.PLAIN, shout, "Shout"),),
    commands=(Command(Vote, WATCH, vote),),
    events=(SHOUTS, TALLIES),
    messages=(Counted,),
    room=(SHOWN_TALLIES,),
)


@pytest.fixture
async def address(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A web process of one more feature, and a node whose rooms may publish."""
    rooms = Rooms(store)
    await rooms.claim_gate(store.nodes[0], 1)
    assert await rooms.open_gate(store.nodes[0], 1, {})
    known = composition.features()
    monkeypatch.setattr(composition, "features", lambda: (*known, FEATURE))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
        task = asyncio.create_task(server.serve([listening]))
        await wait_until(lambda: server.started, "the server has started")
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
        await task


async def post(address: str, path: str, token: str, body: str, method: str = "POST", **headers: str) -> tuple[int, Any]:
    def ask() -> tuple[int, Any]:
        connection = http.client.HTTPConnection(address, timeout=10)
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(
            method, path, body.encode(), sent | {name.replace("_", "-"): v for name, v in headers.items()}
        )
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None

    return await asyncio.to_thread(ask)


async def test_from_route_and_command_to_viewers_and_snapshots(address: str, settings: Settings) -> None:
    tokens = tokens_of(settings)
    cat, ann = tokens.sign("cat", "creator"), tokens.sign("ann", "viewer")

    async def say(text: str, key: str, room: str = "r1") -> tuple[int, Any]:
        return await post(address, f"/v1/rooms/{room}/shouts", ann, text, Idempotency_Key=key)

    async def count(viewer: Viewer, number: int, poll_id: str = "p1", **more: Any) -> dict[str, Any]:
        command_id = f"{poll_id}-{number}-{len(viewer.frames)}"
        await viewer.send(type="tally.vote", room="r1", poll_id=poll_id, number=number, id=command_id, **more)
        found = await viewer.wait_for(lambda: [f for f in viewer.frames if f.get("id") == command_id], "an answer")
        answer: dict[str, Any] = found[0]
        return answer

    status, problem = await say("too early", "s0")
    assert (status, problem["code"]) == (404, "room_not_found")
    assert (await post(address, "/v1/rooms", cat, '{"id": "r1", "title": "R", "kind": "live"}'))[0] == 201
    async with Viewer(address, ann) as viewer:
        snapshot = await viewer.join("r1")
        assert snapshot["tallies"] == []
        assert [(await say(text, key))[0] for text, key in (("hi", "s1"), ("hi", "s1"), ("\u00fc", "s2"))] == [
            201,
            200,
            201,
        ]
        assert (await say("x" * ROOM_EVENT_BYTES_MAX, "s3"))[0] == 413
        assert [(await count(viewer, number))["is_news"] for number in (1, 5, 5, 3, 6)] == [
            True,
            True,
            False,
            False,
            True,
        ]
        assert (await count(viewer, 2, "p0"))["is_news"]
        full = await count(viewer, 1, "p2")
        assert (full["code"], full["room"]) == ("conflict", "r1")
        assert (await count(viewer, 7, last=True))["is_news"]
        assert not (await count(viewer, 6))["is_news"], "what is over does not come back"
        assert (await count(viewer, 1, "p2"))["is_news"], "there is room again"

        told = [("shout", "s1"), ("shout", "s2")] + [
            ("tally", event_id) for event_id in ("p1-1", "p1-5", "p1-6", "p0-2", "p1-7", "p2-1")
        ]
        await viewer.wait_for(lambda: len(viewer.events("r1")) == len(told), "all events")
        assert [(event["type"], event["id"]) for event in viewer.events("r1")] == told
        assert viewer.gap("r1") is None
        assert viewer.events("r1")[1] == {
            "seq": snapshot["seq"] + 2, "type": "shout", "id": "s2", "ts_ms": 1, "user": {"id": "ann", "name": "Ann"},
            "text": "\u00fc",
        }  # fmt: skip
    async with Viewer(address, ann) as late:
        now = await late.join("r1", since=snapshot["seq"])
        assert [(event["type"], event["id"]) for event in now["events"]] == told
        assert [(poll["poll_id"], poll["votes"], "seq" in poll) for poll in now["tallies"]] == [
            ("p0", 2, False),
            ("p2", 1, False),
        ]
        assert (await post(address, "/v1/rooms/r1", cat, '{"status": "ended"}', "PATCH"))[0] == 200
        status, problem = await say("too late", "s4")
        assert (status, problem["code"]) == (409, "room_ended")


def test_every_event_and_message_of_a_feature_is_declared() -> None:
    said = {message for feature in composition.features() for message in feature.messages}
    spoken = {message for message in Message.__subclasses__() if message.__module__.startswith("livegift.")}
    assert spoken - said <= set(MESSAGES), "each message stands in its feature's slot `messages`"
    assert not {type_of(message) for message in said} & {type_of(message) for message in MESSAGES}
    declared = {kind.kind for kind in event_kinds()} | {kind.kind for kind in CORE_EVENTS}
    mine = {event for event in Event.__subclasses__() if event.__module__.startswith("livegift.")}
    assert mine <= declared, "each kind of events stands in its feature's slot `events`"
