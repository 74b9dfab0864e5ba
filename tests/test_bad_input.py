"""Whatever a client sends gets the answer that the protocol says; nobody else notices, and nothing is charged."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import msgspec
import pytest

from livegift.contract.bounds import HELLO_TIMEOUT_S, ROOMS_PER_CONNECTION_MAX
from tests.conftest import BOTH_WAYS, JWT_SECRET
from tests.system import System
from tests.viewer import Viewer

pytestmark = BOTH_WAYS
COINS = 1000
GIFT: dict[str, Any] = {"type": "gift.send", "ref": "ref-1", "room": "r1", "gift_id": "rose"}
ODD_IDS = ["", "{r1}", "a}b", "r 1", "r\n1", "r\u0000", "ä", "r" * 129, "r/1", 'r"1', "@r", "r,1"]


def token_of(claims: dict[str, Any], key: str = JWT_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


@pytest.fixture
async def running(shared_system: System) -> AsyncIterator[System]:
    """One of each process, a room, and alice with coins; afterwards alice still has them and nothing has crashed."""
    system = shared_system
    system.open_room("r1", "bob")
    await system.grant({"alice": COINS, "carol": 100 * COINS})
    async with Viewer(system.address(), system.token("bystander")) as bystander:
        await bystander.join("r1")
        before = len(bystander.frames)
        yield system
        seen = [frame for frame in bystander.frames[before:] if frame["type"] != "room.pulse"]
        assert seen == [], "others notice nothing"
        _, body = system.http("GET", "/v1/wallet", token=system.token("alice"))
        assert body["balance"] == COINS
        async with Viewer(system.address(), system.token("carol")) as carol:
            # No streak, whose end the next test's bystander would see.
            assert (await carol.gift("r1", "balloon"))["status"] == "accepted"
        event = await bystander.wait_for(lambda: bystander.events("r1"), "a good gift")
        assert event[-1]["user"]["id"] == "carol"
    assert "Traceback" not in system.log("web 1")


async def closed_after(system: System, frame: str | bytes, *, hello: bool = True) -> int | None:
    async with Viewer(system.address(), system.token("alice") if hello else None) as viewer:
        await viewer.send_raw(frame)
        return await viewer.closed()


async def test_frames_that_are_no_commands(running: System) -> None:
    for frame in (
        "not json",
        "[1]",
        '"text"',
        "7",
        "null",
        "",
        b"\x00\x01",
        '{"type": "ping"',
        "[" * 5000,
    ):
        assert await closed_after(running, frame) == 4400, frame
    assert await closed_after(running, json.dumps({"type": "ping", "t": "x" * 1_000_000})) == 1009
    for frame in (json.dumps(GIFT), '{"type": "room.join", "room": "r1"}', '{"type": "what"}', '{"a": 1}'):
        assert await closed_after(running, frame, hello=False) == 4401, frame


async def test_commands_that_are_not_valid(running: System) -> None:
    async with Viewer(running.address(), running.token("alice")) as alice:
        for command, field in (
            ({"type": "what"}, "type"),
            ({}, "type"),
            ({"type": 7}, "type"),
            ({"type": "room.join"}, "room"),
            ({"type": "room.join", "room": 7}, "room"),
            ({"type": "room.join", "room": "r1", "since": -1}, "since"),
            ({"type": "room.join", "room": "r1", "since": "x"}, "since"),
            *(({"type": "room.join", "room": odd}, "") for odd in ODD_IDS),
            ({**GIFT, "ref": None}, "ref"),
            ({**GIFT, "ref": "{r}"}, "ref"),
        ):
            alice.frames.clear()
            await alice.send_raw(json.dumps(command))
            error = await alice.expect("error")
            assert (error["code"], error["retryable"]) == ("invalid", False), command
            assert field in error["message"], (command, error)
        for number, wrong in enumerate(
            (
                *({"count": count} for count in (0, -1, 10**9, 2**53, 2**64, 1.5, "3", True, None)),
                *({"room": odd} for odd in ODD_IDS),
                {"room": "\ud800"},
                *({"gift_id": odd} for odd in ODD_IDS),
                *({"to": odd} for odd in ODD_IDS),
                {"price": -1},
                {"price": 2**53},
                {"message": "x" * 201},
                {"message": 7},
                {"anonymous": "yes"},
            )
        ):
            ref = f"wrong-{number}"
            await alice.send_raw(json.dumps({**GIFT, "ref": ref, **wrong}))
            result = await alice.wait_for(lambda ref=ref: alice.results.get(ref), str(wrong))
            assert (result["type"], result["status"], result["code"]) == ("gift.result", "rejected", "invalid"), wrong
        await alice.send(type="ping", t={"any": ["thing", None]})
        assert (await alice.expect("pong"))["t"] == {"any": ["thing", None]}


async def test_gifts_that_cannot_be(running: System) -> None:
    running.open_room("gone", "eve")
    creator = running.token("eve", "creator")
    assert running.http("PATCH", "/v1/rooms/gone", {"status": "ended"}, token=creator)[0] == 200
    async with Viewer(running.address(), running.token("alice")) as alice:
        for wrong, code in (
            ({"room": "nowhere"}, "room_not_found"),
            ({"room": "gone"}, "room_ended"),
            ({"gift_id": "nothing"}, "gift_not_found"),
            ({"to": "nobody"}, "receiver_not_found"),
            ({"price": 2}, "price_changed"),
            ({"gift_id": "universe"}, "insufficient_coins"),
            ({"count": 999, "gift_id": "heart"}, "insufficient_coins"),
        ):
            await alice.send(**{**GIFT, "ref": code, **wrong})
            result = await alice.wait_for(lambda code=code: alice.results.pop(code, None), code)
            assert (result["status"], result["code"]) == ("rejected", code)
            assert result["message"]
        assert result["shortfall"] == 999 * 5 - COINS
        await alice.send(type="room.join", room="nowhere")
        assert (await alice.expect("error"))["code"] == "room_not_found"
    async with Viewer(running.address(), running.token("alice", age_verified=False)) as minor:
        assert (await minor.gift("r1"))["code"] == "age_restricted"
    async with Viewer(running.address(), running.token("bob", "creator")) as bob:
        assert (await bob.gift("r1"))["status"] == "rejected", "to oneself"


async def test_tokens_that_are_not_good(running: System) -> None:
    soon = int(time.time()) + 60
    for bad in (
        token_of({"sub": "alice", "exp": soon - 120}),
        token_of({"sub": "alice", "exp": soon}, "another key that is long enough for HS256"),
        jwt.encode({"sub": "alice", "exp": soon}, None, algorithm="none"),
        token_of({"sub": "alice"}),
        token_of({"exp": soon}),
        *(token_of({"sub": odd, "exp": soon}) for odd in ODD_IDS),
        token_of({"sub": "alice", "exp": soon, "role": "king"}),
        "garbage",
        "a.b.c",
    ):
        async with Viewer(running.address(), None) as viewer:
            await viewer.send(type="hello", token=bad)
            assert await viewer.closed() == 4401, bad
        assert running.http("GET", "/v1/wallet", token=bad)[0] == 401
    async with Viewer(running.address(), running.token("alice", rooms=["other"])) as limited:
        await limited.send(**GIFT)
        error = await limited.wait_for(lambda: limited.results.get("ref-1"), "an answer")
        assert (error["type"], error["code"]) == ("error", "forbidden")
        await limited.send(type="room.join", room="r1")
        assert (await limited.expect("error", room="r1"))["code"] == "forbidden"
    async with Viewer(running.address(), running.token("alice", "overlay", rooms=["r1"])) as overlay:
        await overlay.send(**GIFT)
        assert (await overlay.wait_for(lambda: overlay.results.get("ref-1"), "an answer"))["code"] == "forbidden"


async def test_a_token_in_the_address_and_one_that_expires(running: System) -> None:
    async with Viewer(f"{running.address()}", None) as viewer:
        await viewer.socket.close()
    query = Viewer(running.address(), None)
    query._url += f"?token={running.token('alice', 'overlay', rooms=['r1'])}"
    async with query as overlay:
        await overlay.expect("welcome")
    async with Viewer(running.address(), running.tokens.sign("alice", ttl_s=2)) as alice:
        await alice.expect("error", code="token_expired")
        await alice.send(**GIFT)
        assert (await alice.wait_for(lambda: alice.results.get("ref-1"), "an answer"))["code"] == "token_expired"
        alice.frames.clear()
        await alice.send(type="hello", token=running.token("alice"))
        await alice.expect("welcome")
        assert (await alice.join("r1"))["status"] == "live"
    log = running.log("web 1")
    assert running.token("alice", "overlay").split(".")[0] not in log
    assert "token=" not in log


async def test_no_hello_and_too_many_rooms(running: System) -> None:
    async with Viewer(running.address(), None) as silent:
        assert await silent.closed(HELLO_TIMEOUT_S + 10) == 4401
    async with Viewer(running.address(), running.token("alice")) as alice:
        for number in range(ROOMS_PER_CONNECTION_MAX + 1):
            running.open_room(f"extra-{number}", "bob")
            await alice.send(type="room.join", room=f"extra-{number}")
        assert (await alice.expect("error"))["code"] == "too_many_rooms"


async def test_bad_requests_over_http(running: System) -> None:
    creator = running.token("bob", "creator")
    for method, path, body, token, status, code in (
        ("POST", "/v1/rooms", b"{", creator, 400, "invalid"),
        ("POST", "/v1/rooms", {"title": "x", "extra": 1}, creator, 400, "invalid"),
        ("POST", "/v1/rooms", {"title": ""}, creator, 400, "invalid"),
        ("POST", "/v1/rooms", {"title": "x", "id": "{r}"}, creator, 400, "invalid"),
        ("POST", "/v1/rooms", {"title": "x" * 70_000}, creator, 413, "too_large"),
        ("POST", "/v1/rooms", {"title": "x"}, None, 401, "unauthenticated"),
        ("POST", "/v1/rooms", {"title": "x"}, running.token("alice"), 403, "forbidden"),
        ("POST", "/v1/rooms", {"title": "x", "id": "r1"}, running.token("eve", "creator"), 409, "conflict"),
        ("PATCH", "/v1/rooms/r1", {"status": "ended"}, running.token("eve", "creator"), 403, "forbidden"),
        ("GET", "/v1/rooms/nowhere", None, None, 404, "room_not_found"),
        ("GET", "/v1/rooms/%7Bx%7D", None, None, 404, "room_not_found"),
        ("GET", "/v1/rooms?limit=0", None, None, 400, "invalid"),
        ("GET", "/v1/nothing", None, None, 404, "not_found"),
        ("DELETE", "/v1/gifts", None, None, 405, "method_not_allowed"),
        ("GET", "/v1/creator/balance", None, running.token("alice"), 403, "forbidden"),
    ):
        got, problem = running.http(method, path, body, token=token)
        assert (got, problem["code"], problem["status"]) == (status, code, status), (method, path, problem)


async def test_too_many_commands(running: System) -> None:
    running.settings = msgspec.structs.replace(running.settings, commands_per_s_max=5)
    running.start_one("web 2")
    running.wait_ready("web 2")
    async with Viewer(running.address("web 2"), running.token("alice")) as alice:
        for number in range(40):
            await alice.send(type="ping", id=number)
        await alice.wait_for(lambda: {frame["id"] for frame in alice.frames[1:]} == set(range(40)), "40 answers")
        error = await alice.expect("error")
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert error["retry_after_ms"] > 0
