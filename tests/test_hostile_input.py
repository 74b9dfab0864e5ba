"""Input that is made to break something: it gets one of the protocol's answers, and nothing of ours fails on it."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from livegift.contract.values import is_id
from tests.conftest import JWT_SECRET
from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer

COINS = 100_000
FRAME_BYTES_MAX = 16_384
GIFT: dict[str, Any] = {"type": "gift.send", "ref": "ref-1", "room": "r1", "gift_id": "balloon"}


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


async def answer(system: System, frame: str, token: str | None = None) -> dict[str, Any] | int | None:
    """The frame that came back, or the code with which the connection was closed."""
    async with Viewer(system.address(), token or system.token("alice")) as viewer:
        viewer.frames.clear()
        await viewer.send_raw(frame)
        found = await viewer.wait_for(lambda: viewer.frames or viewer.close_code, "an answer")
        return viewer.close_code if found is viewer.close_code else viewer.frames[0]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# --- Frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [50, 253, 254, 300, 1025, 8000])
async def test_a_ping_comes_back_however_deep_or_is_refused(system: System, depth: int) -> None:
    got = await answer(system, f'{{"type":"ping","t":{nested(depth)}}}')
    if isinstance(got, dict) and got["type"] == "pong":
        assert json.dumps(got["t"]).replace(" ", "") == nested(depth)
    else:
        assert got == 4400 or (isinstance(got, dict) and got["code"] == "invalid"), got


@pytest.mark.parametrize(
    "number",
    [str(2**64 - 1), str(2**64), str(-(2**63) - 1), "9" * 400, "1e308", "1e309"],
)
async def test_a_ping_comes_back_however_large_or_is_refused(system: System, number: str) -> None:
    got = await answer(system, f'{{"type":"ping","t":{number}}}')
    if isinstance(got, dict) and got["type"] == "pong":
        assert got["t"] == json.loads(number)
    else:
        assert got == 4400 or (isinstance(got, dict) and got["code"] == "invalid"), got


@pytest.mark.parametrize("value", [r'"\x"', "01", '"a\nb"', "1.", "[1,]", "NaN", ".5", r'"\u12"', "'a'", "1 2"])
async def test_what_is_almost_json_is_a_bad_frame(system: System, value: str) -> None:
    assert await answer(system, f'{{"type":"ping","t":{value}}}') == 4400


@pytest.mark.parametrize("half", [r"\ud83c", r"\uDF82", r"\ud83c\ud83c\udf82"])
async def test_half_a_character_costs_nobody_the_connection(system: System, half: str) -> None:
    """What `text.slice(0, 200)` leaves of an emoji. In a text it is shown as U+FFFD, in an id it is invalid."""
    await system.grant({"cut": COINS}, "halves")
    ref = f"half-{half.encode().hex()}"
    whole = json.loads(f'"{half}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    async with Viewer(system.address(), system.token("cut")) as viewer:
        await viewer.join("r1")
        head = f'{{"type":"gift.send","room":"r1","gift_id":"rose","ref":"{ref}'
        await viewer.socket.send(f'{head}","message":"{"x" * 198}{half}"}}')
        result = await viewer.wait_for(lambda: viewer.results.get(ref), "a result")
        assert result["status"] == "accepted"
        await viewer.wait_for(lambda: viewer.events("r1"), "the gift")
        assert viewer.events("r1")[-1]["message"] == "x" * 198 + whole
        await viewer.socket.send(f'{head}{half}"}}')
        await viewer.wait_for(lambda: any(frame["type"] == "error" for frame in viewer.frames), "an error")
        assert viewer.frames[-1]["code"] == "invalid"
        assert "ref" in viewer.frames[-1]["message"]


@pytest.mark.parametrize("depth", [300, 1000, 5000])
async def test_a_field_that_nobody_knows_may_be_deep(system: System, depth: int) -> None:
    """Here in a gift that would be refused anyway."""
    frame = json.dumps({**GIFT, "ref": "deep", "gift_id": "nothing"})[:-1] + f', "x": {nested(depth)}}}'
    got = await answer(system, frame)
    assert got == 4400 or (isinstance(got, dict) and (got["type"], got["status"]) == ("gift.result", "rejected")), got


async def test_of_two_keys_the_last_counts(system: System) -> None:
    frame = '{"type":"gift.send","ref":"first","ref":"last","room":"r1","room":"nowhere","gift_id":"rose"}'
    got = await answer(system, frame)
    assert isinstance(got, dict)
    assert (got["ref"], got["code"]) == ("last", "room_not_found")


async def test_text_that_is_no_utf8_ends_the_connection(system: System) -> None:
    """RFC 6455, 8.1: 1007."""
    async with Viewer(system.address(), system.token("alice")) as viewer:
        await viewer.socket.send(b'{"type":"ping","t":"\xff\xfe"}', text=True)
        assert await viewer.closed() in (1007, 4400)


async def test_a_frame_of_the_largest_size_is_taken_and_one_byte_more_is_not(system: System) -> None:
    def ping(size: int) -> str:
        return '{"type":"ping","t":"' + "x" * (size - len('{"type":"ping","t":""}')) + '"}'

    assert len(ping(FRAME_BYTES_MAX)) == FRAME_BYTES_MAX
    got = await answer(system, ping(FRAME_BYTES_MAX))
    assert isinstance(got, dict)
    assert got["type"] == "pong"
    assert await answer(system, ping(FRAME_BYTES_MAX + 1)) == 1009


async def test_a_message_in_many_small_pieces_is_too_large_too(system: System) -> None:
    async with Viewer(system.address(), system.token("alice")) as viewer:
        with suppress(ConnectionClosed):  # before the last piece was sent
            await viewer.socket.send(["x" * 4000] * 10)
        # Who goes on sending meets a socket that is closed already, and may see the reset before the code.
        assert await viewer.closed() in (1009, 1006)


async def test_many_bad_commands_in_one_go_are_each_answered(system: System) -> None:
    async with Viewer(system.address(), system.token("alice")) as viewer:
        for number in range(200):
            await viewer.send(**{**GIFT, "ref": f"many-{number}", "count": number - 300})
        await viewer.wait_for(lambda: len(viewer.results) == 200, "200 results")
        assert {result["code"] for result in viewer.results.values()} == {"invalid"}


async def test_a_viewer_who_leaves_without_a_word_disturbs_nobody(system: System) -> None:
    for size in (0, 1, 10):
        viewer = Viewer(system.address(), system.token("alice"))
        await viewer.__aenter__()
        for number in range(size):
            await viewer.send(**{**GIFT, "ref": f"gone-{number}", "gift_id": "nothing"})
        viewer.socket.transport.abort()
        await viewer._reader


async def test_a_viewer_who_leaves_while_the_server_closes_disturbs_nobody(system: System) -> None:
    for _ in range(30):
        viewer = Viewer(system.address(), None)
        await viewer.__aenter__()
        await viewer.send(type="hello", token="a.b.c")
        await viewer.expect("error")
        viewer.socket.transport.abort()
        await viewer._reader


async def test_another_path_has_no_socket(system: System) -> None:
    for path in ("/v1/wss", "/", "/v1/ws/x", "/v1/rooms"):
        with pytest.raises(InvalidHandshake):
            await connect(f"ws://{system.address()}{path}")


# --- Tokens -----------------------------------------------------------------------------------------------------------


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(**claims: object) -> str:
    return jwt.encode({"sub": "alice", "exp": int(time.time()) + 60, "age_verified": True, **claims}, JWT_SECRET)


HEADER = part('{"alg":"HS256","typ":"JWT"}')
BAD_TOKENS = {
    "deep header": f"{part(nested(2500))}.{part('{}')}.x",
    "header is a list": f"{part('[]')}.{part('{}')}.x",
    "alg is a list": f"{part(json.dumps({'alg': ['HS256']}))}.{part('{}')}.x",
    "kid is a number": f"{part(json.dumps({'alg': 'HS256', 'kid': 7}))}.{part('{}')}.x",
    "alg RS256": f"{part(json.dumps({'alg': 'RS256'}))}.{part('{}')}.x",
    "alg none": f"{part(json.dumps({'alg': 'none'}))}.{part(json.dumps({'sub': 'alice', 'exp': 2**33}))}.",
    "no base64": f"{HEADER}.!!!.???",
    "only dots": "..",
    "not ASCII": "é.é.é",
    "NUL": "\0",
    "another key": jwt.encode({"sub": "alice", "exp": 2**33}, "k" * 32),
    "an own payload": f"{HEADER}.{part(json.dumps({'sub': 'alice', 'exp': [1]}))}.x",
    "too long": "x" * 8193,
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_token_that_is_made_to_break_the_parser(system: System, name: str) -> None:
    async with Viewer(system.address(), None) as viewer:
        await viewer.send(type="hello", token=BAD_TOKENS[name])
        if name == "too long":
            # A wrong field, which is answered; the connection goes on waiting for a hello.
            assert (await viewer.expect("error"))["code"] == "invalid"
        else:
            assert await viewer.closed() == 4401
            assert [frame["code"] for frame in viewer.frames] == ["unauthenticated"]
    if name not in ("not ASCII", "NUL"):
        assert system.http("GET", "/v1/wallet", token=BAD_TOKENS[name])[0] == 401


@pytest.mark.parametrize(
    "query", ["token=", "token=%00", "token=%ff%fe", "token=a.b.c", "token=x&token=y", "token=%ED%A0%80"]
)
async def test_a_bad_token_in_the_address(system: System, query: str) -> None:
    viewer = Viewer(system.address(), None)
    viewer._url += f"?{query}"
    async with viewer:
        assert await viewer.closed() == 4401


@pytest.mark.parametrize(
    "claims",
    [
        {"name": "\ud83d"},  # half an emoji, as JavaScript's slice() makes it
        {"name": "\x00"},
        {"name": 'x\ny|z"\\{}</script>'},
        {"name": "x" * 5000},
        {"name": "🌹" * 500},
        {"avatar_url": "https://\ud800"},
        {"avatar_url": "javascript:alert(1)"},
        {"exp": 10**30},
        {"exp": 2**53},
        {"rooms": ["r1"] * 300},
        {"region": "\x00"},
        {"aud": "somebody"},
        {"nbf": 2**40},
        {"iat": 2**40},
        {"jti": [1]},
    ],
    ids=str,
)
async def test_odd_claims_of_a_signed_token_are_used_or_refused(system: System, claims: dict[str, object]) -> None:
    """The host product has signed it, but users choose their names."""
    async with Viewer(system.address(), None) as viewer:
        await viewer.send(type="hello", token=signed(sub="odd", **claims))
        await viewer.wait_for(lambda: viewer.frames or viewer.close_code, "an answer")
        if viewer.frames[0]["type"] == "welcome":
            assert (await viewer.join("r1"))["status"] == "live"
        else:
            assert await viewer.closed() == 4401


async def test_odd_names_and_messages_arrive_as_they_are(system: System) -> None:
    system.open_room("odd", "bob")
    texts = ['"', "\\", "a|b", "line\nline", "\x00", "\u2028", "</script>", "🌹" * 60, "{}", "\\u0000", "'; --", "%s"]
    await system.grant({f"odd-{number}": COINS for number in range(len(texts))})
    async with Viewer(system.address(), system.token("watcher")) as watcher:
        await watcher.join("odd")
        for number, text in enumerate(texts):
            token = system.token(f"odd-{number}", name=text)
            async with Viewer(system.address(), token) as sender:
                result = await sender.gift("odd", "rose", message=text)
            assert result["status"] == "accepted"

            def seen(event_id: str = result["gift_event_id"]) -> dict[str, Any] | None:
                return next((event for event in watcher.events("odd") if event["id"] == event_id), None)

            event = await watcher.wait_for(seen, "the gift")
            # A name is one line that others see in lists: control characters are left out.
            shown = "".join(c for c in text.replace("\n", " ") if c.isprintable()) or f"odd-{number}"
            assert (event["user"]["name"], event["message"]) == (shown, text)
        await watcher.wait_for(
            lambda: sum(e["repeat_end"] for e in watcher.events("odd")) == len(texts), "the end of each streak"
        )
        assert watcher.gap("odd") is None


# --- Ids, which become parts of keys and of the journal ---------------------------------------------------------------

LINE_END = "x\n"


def test_an_id_has_no_line_end() -> None:
    """Python's `$` also matches before one."""
    assert is_id("x")
    assert not is_id(LINE_END)


@pytest.mark.parametrize("field", ["room", "gift_id", "to"])
async def test_an_id_with_a_line_end_is_invalid(system: System, field: str) -> None:
    got = await answer(system, json.dumps({**GIFT, "ref": f"line-end-{field}", field: LINE_END}))
    assert isinstance(got, dict)
    assert (got["type"], got["status"], got["code"]) == ("gift.result", "rejected", "invalid")


async def test_a_room_with_a_line_end_is_invalid(system: System) -> None:
    for command in ("room.join", "room.leave"):
        got = await answer(system, json.dumps({"type": command, "room": "r1\n"}))
        assert isinstance(got, dict)
        assert (got["type"], got["code"]) == ("error", "invalid")


async def test_a_user_with_a_line_end_is_nobody(system: System) -> None:
    async with Viewer(system.address(), None) as viewer:
        await viewer.send(type="hello", token=signed(sub="alice\n"))
        await viewer.wait_for(lambda: viewer.frames, "an answer")
        assert viewer.frames[0]["type"] == "error", viewer.frames[0]
        assert await viewer.closed() == 4401
    assert system.http("GET", "/v1/wallet", token=signed(sub="alice\n"))[0] == 401


async def test_a_ref_with_a_line_end_is_invalid_and_stops_no_partition(system: System) -> None:
    """It would end up inside a string of the journal's JSON, which nobody could read then."""
    await system.grant({"alice": COINS}, "line-end")
    got = await answer(system, json.dumps({**GIFT, "ref": "line-end\n"}))
    assert isinstance(got, dict)
    assert (got["type"], got.get("code")) == ("error", "invalid"), got
    report = await system.audit(wait_s=5)
    assert report.passed, report.to_text()
    assert system.http("GET", "/readyz")[0] == 200
