"""A command's `id`: its answer carries it back as it is, and nothing else depends on it."""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from livegift.contract.bounds import COMMAND_ID_LENGTH_MAX, COMMAND_ID_NUMBER_MAX, ROOMS_PER_CONNECTION_MAX
from livegift.contract.encoding import encode
from livegift.contract.messages import Bye, Error, Pong, answering
from livegift.contract.parsing import BadCommandError
from livegift.contract.values import CommandId
from livegift.hub import core_commands
from livegift.hub.commands import Commands
from tests.conftest import BOTH_WAYS
from tests.system import System
from tests.viewer import Viewer

both_ways = BOTH_WAYS
COINS = 1_000
GOOD = ("a", "", "0", 'ä 💎"\\\n', "x" * COMMAND_ID_LENGTH_MAX, 0, -1, COMMAND_ID_NUMBER_MAX, -COMMAND_ID_NUMBER_MAX)
BAD = ("x" * (COMMAND_ID_LENGTH_MAX + 1), COMMAND_ID_NUMBER_MAX + 1, -(2**53), 2**70, 1.0, 1.5, True, [], {}, ["a"])
COMMANDS = Commands(core_commands.COMMANDS)
GIFT: dict[str, Any] = {"type": "gift.send", "ref": "r", "room": "room", "gift_id": "rose"}

command_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=COMMAND_ID_LENGTH_MAX) | st.integers(
    -COMMAND_ID_NUMBER_MAX, COMMAND_ID_NUMBER_MAX
)


# --- Pure -------------------------------------------------------------------------------------------------------------


@given(command_ids)
def test_an_id_comes_back_as_it_is(command_id: CommandId) -> None:
    parsed = COMMANDS.parse(orjson.dumps({**GIFT, "id": command_id}))
    assert parsed.id == command_id
    for answer in map(
        encode,
        (
            Bye(reason="restarting", reconnect_in_ms=1),
            Error.of("invalid", ref="r"),
            Pong(t=Raw(b'{"a":[]}'), server_ms=1),
        ),
    ):
        assert orjson.loads(answering(parsed.id, answer)) == {**orjson.loads(answer), "id": command_id}
        assert answering(None, answer) is answer


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_is_no_id_is_refused_at_the_border(bad: object) -> None:
    with pytest.raises(BadCommandError, match="id: ") as caught:
        COMMANDS.parse(orjson.dumps({**GIFT, "id": bad}) if bad != 2**70 else b'{"type":"ping","id":%d}' % bad)
    assert caught.value.id is None


def test_a_command_that_is_wrong_elsewhere_is_answered_under_its_id() -> None:
    with pytest.raises(BadCommandError, match="count: ") as caught:
        COMMANDS.parse(orjson.dumps({**GIFT, "id": 7, "count": 0}))
    assert (caught.value.id, caught.value.ref) == (7, "r")


# --- Over the socket --------------------------------------------------------------------------------------------------


class Asker(Viewer):
    """Sends each command under an id and waits for the one answer with it."""

    asked = 0

    async def ask(self, command_id: object = None, **command: object) -> dict[str, Any]:
        type(self).asked += 1
        command_id = f"ask-{self.asked}" if command_id is None else command_id
        await self.send(**command, id=command_id)

        def answer() -> dict[str, Any] | None:
            return next((f for f in self.frames if "id" in f and f["id"] == command_id), None)

        found: dict[str, Any] = await self.wait_for(answer, f"the answer to {command_id!r}")
        assert type(found["id"]) is type(command_id)
        assert sum("id" in f and f["id"] == command_id for f in self.frames) == 1
        return found


@pytest.fixture
async def room(shared_system: System) -> str:
    name = f"ids-{uuid4().hex[:12]}"
    shared_system.open_room(name, f"creator-{name}")
    await shared_system.grant({f"user-{name}": COINS}, ref=name)
    return name


def asker(system: System, room: str, *, hello: bool = True) -> Asker:
    return Asker(system.address(), system.token(f"user-{room}") if hello else None)


@both_ways
async def test_every_answer_and_every_error_carries_it(shared_system: System, room: str) -> None:
    async with asker(shared_system, room, hello=False) as viewer:
        token = shared_system.token(f"user-{room}")
        assert (await viewer.ask(type="hello", token=token))["type"] == "welcome"
        for good in GOOD:
            assert (await viewer.ask(good, type="ping", t=good))["t"] == good
        gift = {"type": "gift.send", "room": room, "gift_id": "rose"}
        assert (await viewer.ask(**gift, ref="1"))["status"] == "accepted"
        assert (await viewer.ask(**gift, ref="1"))["status"] == "duplicate"
        for wrong, code in (
            ({"ref": "1", "count": 2}, "ref_conflict"),
            ({"ref": "2", "gift_id": "universe"}, "insufficient_coins"),
            ({"ref": "3", "count": 0}, "invalid"),
            ({"ref": "4", "room": "nowhere"}, "room_not_found"),
        ):
            result = await viewer.ask(**{**gift, **wrong})
            assert (result["type"], result["status"], result["code"]) == ("gift.result", "rejected", code)
        assert (await viewer.ask(**{**gift, "ref": "{}"}))["code"] == "invalid"
        assert (await viewer.ask(type="what"))["code"] == "invalid"
        assert (await viewer.ask(type="room.join", room="nowhere"))["code"] == "room_not_found"
        assert (await viewer.ask(type="room.join", room="{}"))["code"] == "invalid"
        assert (await viewer.ask(type="room.join", room=room))["type"] == "room.snapshot"
        assert (await viewer.ask(type="room.join", room=room, since=0))["type"] == "room.snapshot"
        assert (await viewer.ask(type="hello", token="no token"))["code"] == "unauthenticated"
        assert await viewer.closed() == 4401


@both_ways
async def test_without_one_nothing_has_it(shared_system: System, room: str) -> None:
    async with asker(shared_system, room) as viewer:
        await viewer.send(type="ping", id=None)
        await viewer.join(room)
        await viewer.gift(room)
        await viewer.send(type="what")
        await viewer.expect("error")
        assert [frame for frame in viewer.frames if "id" in frame] == []


async def test_answers_find_their_commands_when_all_have_one_ref(shared_system: System, room: str) -> None:
    """Two payloads under one ref at once: nothing but the id tells whose answer it is."""
    async with asker(shared_system, room) as viewer:
        gifts = ("rose", "heart", "rose", "coffee", "heart", "rose")
        answers = await asyncio.gather(
            *(
                viewer.ask(number, type="gift.send", ref="same", room=room, gift_id=gift_id)
                for number, gift_id in enumerate(gifts)
            )
        )
        won = next(answer["gift_event_id"] for answer in answers if answer["status"] == "accepted")
        for gift_id, answer in zip(gifts, answers, strict=True):
            if gift_id == "rose":
                assert (answer["gift_event_id"], answer["coins"]) == (won, 1)
            else:
                assert answer["code"] == "ref_conflict"
        assert [answer["status"] for answer in answers].count("accepted") == 1
    assert (await shared_system.audit()).passed


async def test_another_id_is_not_another_payload(shared_system: System, room: str) -> None:
    async with asker(shared_system, room) as viewer:
        gift = {"type": "gift.send", "ref": "once", "room": room, "gift_id": "heart"}
        first = await viewer.ask("first", **gift)
        await viewer.send(**gift)
        for command_id in ("second", 2):
            again = await viewer.ask(command_id, **gift)
            assert (again["status"], again["gift_event_id"]) == ("duplicate", first["gift_event_id"])
            assert again["balance"] == COINS - 5


async def test_one_of_many_who_join_at_once_gets_an_answer_of_its_own(shared_system: System, room: str) -> None:
    """A room's snapshot is shared among those who ask together."""
    async with asker(shared_system, room) as first, asker(shared_system, room) as second:
        answers = await asyncio.gather(
            first.ask("mine", type="room.join", room=room), second.join(room), second.ask(type="ping")
        )
        assert answers[0]["type"] == "room.snapshot"
        assert "id" not in answers[1]
        for number in range(ROOMS_PER_CONNECTION_MAX):
            await first.send(type="room.join", room="nowhere", id=number)
        for number in range(ROOMS_PER_CONNECTION_MAX):
            assert (await first.expect("error", id=number))["room"] == "nowhere"
