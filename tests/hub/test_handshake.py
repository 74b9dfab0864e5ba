"""Opening handshakes: plain ones are answered as `websockets` answers them, all others take the general way."""

from base64 import b64encode
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from livegift.contract.commands import SUBPROTOCOL
from livegift.hub.handshake import DEFLATE, Handshake
from livegift.runtime.bounds import HANDSHAKE_BYTES_MAX, HANDSHAKE_HEADERS_MAX

PLAIN = {
    "Host": "live.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",  # browsers
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate",
    "permessage-deflate; unknown=1",
    "x-webkit-deflate-frame",
    "permessage-deflate, permessage-deflate",
)


def request(headers: Mapping[str, str], start: str = "GET /v1/ws HTTP/1.1", more: str = "") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{start}\r\n{lines}{more}\r\n".encode("latin-1")


def parse(data: bytes) -> Handshake | None:
    return Handshake.parse(data, deflate=True)


def by_websockets(data: bytes) -> tuple[dict[str, str], list[str]]:
    """Its headers and the names of the extensions that it has agreed on."""
    server = ServerProtocol(extensions=DEFLATE)
    server.receive_data(data)
    (asked,) = server.events_received()
    assert isinstance(asked, Request)
    response = server.accept(asked)
    assert response.status_code == 101
    return dict(response.headers.raw_items()), [repr(extension) for extension in server.extensions]


def by_us(data: bytes) -> tuple[dict[str, str], list[str]]:
    handshake = parse(data)
    assert handshake is not None
    status, *lines = handshake.response(None, [(b"Date", b"x")]).decode().split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert lines[-2:] == ["", ""]
    headers = dict(line.split(": ") for line in lines[:-2])
    return headers, [repr(extension) for extension in handshake.extensions.fresh()]


def same(data: bytes) -> bool:
    (ours, our_extensions), (theirs, their_extensions) = by_us(data), by_websockets(data)
    return (ours | {"Date": theirs["Date"]}, our_extensions) == (theirs, their_extensions)


@pytest.mark.parametrize("offer", OFFERS)
def test_extensions_are_agreed_on_as_by_websockets(offer: str) -> None:
    assert same(request(PLAIN | {"Sec-WebSocket-Extensions": offer}))
    unasked = Handshake.parse(request(PLAIN | {"Sec-WebSocket-Extensions": offer}), deflate=False)
    assert unasked is not None
    assert (unasked.extensions.header, unasked.extensions.deflates) == (b"", False)


def test_only_a_window_that_shared_messages_need_counts_as_deflating() -> None:
    deflates = [parse(request(PLAIN | {"Sec-WebSocket-Extensions": offer})) for offer in OFFERS]
    assert [one is not None and one.extensions.deflates for one in deflates] == [
        True, True, True, False, False, True, False, False, True,
    ]  # fmt: skip


def test_extensions_of_two_connections_share_no_state() -> None:
    data = request(PLAIN | {"Sec-WebSocket-Extensions": OFFERS[0]})
    first, second = parse(data), parse(data)
    assert first is not None
    assert second is not None
    assert first.extensions is second.extensions
    assert first.extensions.fresh()[0] is not second.extensions.fresh()[0]


@given(st.binary(min_size=16, max_size=16))
def test_any_key_is_answered_as_by_websockets(key: bytes) -> None:
    assert same(request(PLAIN | {"Sec-WebSocket-Key": b64encode(key).decode()}))


PLAIN_TOO = {
    "names in any case": request({name.upper(): value for name, value in PLAIN.items()}),
    "websocket in capitals": request(PLAIN | {"Upgrade": "WebSocket"}),
    "keep-alive as well": request(PLAIN | {"Connection": "keep-alive, Upgrade"}),
    "spaces around a value": request(PLAIN | {"Sec-WebSocket-Version": "  13 \t"}),
    "an empty value": request(PLAIN | {"X-Empty": ""}),
    "two of one that does not matter": request(PLAIN, more="X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n"),
    "a query": request(PLAIN, "GET /v1/ws?token=a.b-c%20 HTTP/1.1"),
}


@pytest.mark.parametrize("name", PLAIN_TOO)
def test_what_clients_and_proxies_send_is_plain(name: str) -> None:
    assert same(PLAIN_TOO[name])


def test_a_handshake_says_what_it_asks_for() -> None:
    found = parse(request(PLAIN | {"Sec-WebSocket-Protocol": f"a, {SUBPROTOCOL}"}, "GET /v1/ws?token=x&y HTTP/1.1"))
    assert found is not None
    assert (found.path, found.query, found.subprotocols) == (b"/v1/ws", b"token=x&y", ("a", SUBPROTOCOL))
    assert found.headers[:2] == [(b"host", b"live.example"), (b"upgrade", b"websocket")]
    assert b"\r\nSec-WebSocket-Protocol: livegift" in found.response(SUBPROTOCOL, ())


ODD = {
    **{f"without {name}": request({other: PLAIN[other] for other in PLAIN if other != name}) for name in PLAIN},
    **{f"{name} twice": request(PLAIN, more=f"{name}: {value}\r\n") for name, value in PLAIN.items()},
    "another method": request(PLAIN, "POST /v1/ws HTTP/1.1"),
    "an older version": request(PLAIN, "GET /v1/ws HTTP/1.0"),
    "an absolute target": request(PLAIN, "GET http://x/v1/ws HTTP/1.1"),
    "an escaped path": request(PLAIN, "GET /v1%2Fws HTTP/1.1"),
    "a fragment in the path": request(PLAIN, "GET /v1/ws#x HTTP/1.1"),
    "another protocol": request(PLAIN | {"Upgrade": "h2c"}),
    "two protocols": request(PLAIN | {"Upgrade": "websocket, h2c"}),
    "a connection to be closed": request(PLAIN | {"Connection": "close"}),
    "another version of WebSocket": request(PLAIN | {"Sec-WebSocket-Version": "8"}),
    "two versions": request(PLAIN | {"Sec-WebSocket-Version": "13, 8"}),
    "a short key": request(PLAIN | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA"}),
    "a long key": request(PLAIN | {"Sec-WebSocket-Key": "A" * 43 + "="}),
    "a key that is not base64": request(PLAIN | {"Sec-WebSocket-Key": "!" * 22 + "=="}),
    "extensions that can't be read": request(PLAIN | {"Sec-WebSocket-Extensions": ";"}),
    "subprotocols that can't be read": request(PLAIN | {"Sec-WebSocket-Protocol": "a b"}),
    "a body": request(PLAIN | {"Content-Length": "2"}) + b"{}",
    "a promised body": request(PLAIN | {"Content-Length": "0"}),
    "chunks": request(PLAIN | {"Transfer-Encoding": "chunked"}),
    "a wait for a word": request(PLAIN | {"Expect": "100-continue"}),
    "something behind it": request(PLAIN) + b"\x81\x80AAAA",
    "two requests": request(PLAIN) * 2,
    "half of it": request(PLAIN)[:-2],
    "a folded line": request(PLAIN, more="X: a\r\n b\r\n"),
    "a space before the colon": request(PLAIN, more="X : a\r\n"),
    "no name": request(PLAIN, more=": a\r\n"),
    "no colon": request(PLAIN, more="X\r\n"),
    "bare line feeds": request(PLAIN).replace(b"\r\n", b"\n"),
    "a NUL": request(PLAIN | {"X": "\x00"}),
    "not ASCII": request(PLAIN | {"X": "\xe4"}),
    "many headers": request(PLAIN, more="X: y\r\n" * HANDSHAKE_HEADERS_MAX),
    "long": request(PLAIN, more=f"X: {'y' * HANDSHAKE_BYTES_MAX}\r\n"),
    "nothing": b"",
    "HTTP": b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_takes_the_general_way(name: str) -> None:
    assert parse(ODD[name]) is None


@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 20))
def test_a_damaged_handshake_is_plain_only_if_websockets_takes_it(piece: bytes, at: int, cut: int) -> None:
    whole = request(PLAIN | {"Sec-WebSocket-Extensions": OFFERS[1]})
    data = whole[:at] + piece + whole[at + cut :]
    assert parse(data) is None or same(data)
