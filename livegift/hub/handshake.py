"""The opening handshake of a WebSocket (RFC 6455, 4.2), for requests that are nothing but that, in one piece.

Most clients send just this, and an HTTP parser of Python takes half of what a viewer costs who comes back. Whatever
is odd about a request is left to the general way (`None`), which knows the right answer to it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import parse_subprotocol
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from livegift.runtime.bounds import HANDSHAKE_BYTES_MAX, HANDSHAKE_HEADERS_MAX

WINDOW_BITS = 15  # of shared messages, see `PreparedMessage.deflated`
DEFLATE = [
    ServerPerMessageDeflateFactory(
        # Neither side keeps a window between messages: one compressed frame serves all, an idle connection owns none.
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        compress_settings={"level": 1},
    )
]
# Tokens and values of RFC 9110, 5.6.2 and 5.5, without what needs care: bytes beyond ASCII and folded lines.
_REQUEST = re.compile(
    rb"GET (/[A-Za-z0-9/_.-]*)(?:\?([!-~]*))? HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+)\r\n"
)
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # of 16 bytes
_UPGRADING = {b"upgrade", b"keep-alive, upgrade"}
# Those of the handshake may come once. A body may come after none of them.
_ONCE = {
    b"host",
    b"connection",
    b"upgrade",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"sec-websocket-extensions",
    b"sec-websocket-protocol",
}
_NEVER = {b"content-length", b"transfer-encoding", b"expect", b"te", b"trailer"}


@dataclass(frozen=True, slots=True)
class Extensions:
    """The extensions that a client has offered, and the header that accepts some of them."""

    offer: bytes
    header: bytes
    deflates: bool

    def fresh(self) -> Sequence[Extension]:
        """Return the accepted ones for one connection: they hold the state of its fragmented messages."""
        return _negotiated(self.offer)[1]


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request to become a WebSocket, to be accepted or refused."""

    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]  # names in lower case
    accept: bytes
    subprotocols: tuple[str, ...]
    extensions: Extensions

    @classmethod
    def parse(cls, data: bytes, *, deflate: bool) -> "Handshake | None":
        """Return what `data` asks for; None if it is not wholly and plainly a handshake."""
        found = _REQUEST.fullmatch(data) if len(data) <= HANDSHAKE_BYTES_MAX else None
        if found is None:
            return None
        path, query, lines = found.groups(b"")
        headers: list[tuple[bytes, bytes]] = []
        once: dict[bytes, bytes] = {}
        for line in lines.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            headers.append((name, value))
            if name in _ONCE:
                if name in once:
                    return None
                once[name] = value
            elif name in _NEVER:
                return None
        key = once.get(b"sec-websocket-key", b"")
        if (
            once.get(b"upgrade", b"").lower() != b"websocket"
            or once.get(b"connection", b"").lower() not in _UPGRADING
            or once.get(b"sec-websocket-version") != b"13"
            or _KEY.fullmatch(key) is None
            or b"host" not in once
            or len(headers) > HANDSHAKE_HEADERS_MAX
        ):
            return None
        try:
            subprotocols = _subprotocols(once.get(b"sec-websocket-protocol", b""))
            extensions = _extensions(once.get(b"sec-websocket-extensions", b"") if deflate else b"")
        except InvalidHandshake:
            return None
        return cls(path, query, headers, accept_key(key.decode()).encode(), subprotocols, extensions)

    def response(self, subprotocol: str | None, more: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return the response that accepts; `more` are the server's own headers."""
        chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
        return b"%b%b\r\n%b%b%b\r\n" % (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
            self.accept,
            self.extensions.header,
            b"".join([b"%b: %b\r\n" % header for header in more]),
            chosen,
        )


# Browsers and libraries send the same few values, whose parsing is remembered.


@lru_cache(maxsize=64)
def _subprotocols(value: bytes) -> tuple[str, ...]:
    return tuple(parse_subprotocol(value.decode())) if value else ()


@lru_cache(maxsize=64)
def _extensions(offer: bytes) -> Extensions:
    header, accepted = _negotiated(offer)
    deflate = [one for one in accepted if isinstance(one, PerMessageDeflate)]
    return Extensions(
        offer,
        b"" if header is None else b"Sec-WebSocket-Extensions: %b\r\n" % header.encode(),
        deflates=bool(deflate) and deflate[0].local_max_window_bits == WINDOW_BITS,
    )


def _negotiated(offer: bytes) -> tuple[str | None, list[Extension]]:
    if not offer:
        return None, []
    headers = Headers([("Sec-WebSocket-Extensions", offer.decode())])
    return ServerProtocol(extensions=DEFLATE).process_extensions(headers)
