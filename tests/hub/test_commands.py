"""A feature's command: known, allowed, answered and failing like the hub's own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from livegift import composition
from livegift.contract.commands import Identified
from livegift.contract.errors import RequestError
from livegift.contract.messages import Message
from livegift.contract.values import Id
from livegift.features.slots import Feature
from livegift.hub import core_commands
from livegift.hub.commands import Budget, Client, Command, Commands
from livegift.processes.app import create_app
from livegift.runtime.access import SPEND, WATCH
from livegift.runtime.identity import tokens_of
from livegift.runtime.settings import Settings
from tests.viewer import Viewer
from tests.waiting import wait_until


class PollVote(Identified, tag="poll.vote", tag_field="type", frozen=True):
    """A command that only this test has."""

    room: Id
    option: int


class PollResult(Message, frozen=True, kw_only=True, tag="poll.result"):
    """A message that only this test has."""

    user: str
    option: int
    is_open: bool


async def vote(client: Client, command: PollVote) -> None:
    if command.option == 0:
        raise RequestError("conflict", "The poll is over.")
    if command.option == 1:
        raise ZeroDivisionError
    room = await client.resources.directory.room(command.room)
    result = {"user": client.identity.user, "option": command.option, "is_open": room is not None}
    client.answer(command.id, PollResult(**result))


VOTE = Command(PollVote, SPEND, vote, budget=Budget(per_s_max=0.001, burst_max=5))


@pytest.fixture
async def address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A web process of one more feature."""
    known = composition.features()
    monkeypatch.setattr(composition, "features", lambda: (*known, Feature("poll", commands=(VOTE,))))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
        task = asyncio.create_task(server.serve([listening]))
        await wait_until(lambda: server.started, "the server has started")
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
        await task


async def test_a_feature_answers_its_own_command(address: str, settings: Settings) -> None:
    tokens = tokens_of(settings)

    async def ask(viewer: Viewer, number: int, **more: Any) -> dict[str, Any]:
        await viewer.send(**{"type": "poll.vote", "room": "r1", "option": 2, "id": number, **more})
        found = await viewer.wait_for(lambda: [f for f in viewer.frames if f.get("id") == number], "an answer")
        answer: dict[str, Any] = found[0]
        return answer

    async with Viewer(address, tokens.sign("ann", "viewer", rooms=["r1"])) as ann:
        answer = await ask(ann, 1)
        assert answer == {"type": "poll.result", "user": "ann", "option": 2, "is_open": False, "id": 1}
        over = await ask(ann, 2, option=0)
        assert (over["code"], over["message"], over["room"]) == ("conflict", "The poll is over.", "r1")
        assert (await ask(ann, 3, option=1))["code"] == "internal"
        assert (await ask(ann, 4, option="x"))["code"] == "invalid"
        assert (await ask(ann, 5, room="r2"))["code"] == "forbidden"
        assert (await ask(ann, 6))["type"] == "poll.result"
        assert (await ask(ann, 7))["code"] == "rate_limited"  # five were valid, whatever their answers
    async with Viewer(address, tokens.sign("bob", "overlay", rooms=["r1"])) as overlay:
        assert (await ask(overlay, 8))["code"] == "forbidden"


def test_one_type_is_offered_once() -> None:
    with pytest.raises(RuntimeError, match=r"one command each of type poll\.vote"):
        Commands([*core_commands.COMMANDS, VOTE, Command(PollVote, WATCH, vote)])
