"""A client that means harm: `python -m loadtests.clients.flood ADDRESS KIND --seconds S --connections N`.

Some kinds are one connection that sends all it can and connects again when it is closed, for so many seconds and
until one was closed. The others are many connections that each send half of a request and stop; these end when the
server has closed the last of them. Prints as JSON how many connections there were, how many bytes were sent, and how
the server ended them.
"""

import argparse
import json
import os
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass

from livegift.runtime.identity import Tokens
from loadtests.clients.websocket import PING, client_frame

CREATOR = "flooder"  # may send the body of a room that it opens
CHUNK_BYTES = 64 * 1024
BYTES_PER_S = 900_000  # what a slow line carries; more changes nothing
ANSWER_BYTES_KEPT = 4096
CONNECT_TIMEOUT_S = 10.0
FIRST_END_TIMEOUT_S = 30.0
HALVES_TIMEOUT_S = 60.0  # above every deadline of the server
CLOSE = 0x88
SMALL = 126  # lengths below are a frame's second byte (RFC 6455, 5.2)
STILL_OPEN = "still open"
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
POST = b"POST /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """What begins a connection, and what is then sent without end; nothing for half a request."""

    begin: bytes
    piece: bytes = b""
    is_websocket: bool = False


KINDS = {
    "pings": Kind(b"", client_frame(b"", PING), is_websocket=True),
    "fragments": Kind(b"\x01\x80\x00\x00\x00\x00", b"\x00\x80\x00\x00\x00\x00", is_websocket=True),
    "hellos": Kind(b"", client_frame(b'{"type":"hello"}'), is_websocket=True),
    "large frames": Kind(b"", client_frame(b'{"type":"ping","t":"' + b"x" * 16_000 + b'"}'), is_websocket=True),
    "endless headers": Kind(b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
    "endless bodies": Kind(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "half headers": Kind(b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\nX-Half: "),
    "half bodies": Kind(POST + b'Content-Length: 1000\r\n\r\n{"title":"' + b"x" * 490),
}


def endless(address: tuple[str, int], kind: Kind, until: float) -> tuple[int, str]:
    """Send all that one connection can; return the bytes that it sent, and how it ended."""
    chunk, sent, answer = kind.piece * max(1, CHUNK_BYTES // len(kind.piece)), 0, b""
    started = time.monotonic()
    with socket.create_connection(address, timeout=CONNECT_TIMEOUT_S) as sock:
        if kind.is_websocket:
            sock.sendall(UPGRADE)
            sock.recv(ANSWER_BYTES_KEPT)
        sock.sendall(kind.begin)
        sock.setblocking(False)
        while (now := time.monotonic()) < until:
            ready = sent < (now - started) * BYTES_PER_S + CHUNK_BYTES
            readable, writable, _ = select.select([sock], [sock] if ready else [], [], 0.01)
            try:
                if readable:
                    got = sock.recv(CHUNK_BYTES)
                    if not got:
                        return sent, _end_of(answer)
                    answer = (answer + got)[-ANSWER_BYTES_KEPT:]
                if writable:
                    sent += sock.send(chunk)
            except ConnectionError:
                return sent, _end_of(answer)
    return sent, STILL_OPEN


def halves(address: tuple[str, int], kind: Kind, connections: int) -> dict[str, object]:
    """Open all connections, send half a request on each and wait until the server has closed them."""
    since = time.monotonic()
    ends: Counter[str] = Counter()
    answers: dict[socket.socket, bytes] = {}
    poller, by_number = select.poll(), {}
    for _ in range(connections):
        sock = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
        sock.sendall(kind.begin)
        answers[sock], by_number[sock.fileno()] = b"", sock
        poller.register(sock, select.POLLIN)
    while answers and (left_s := since + HALVES_TIMEOUT_S - time.monotonic()) > 0:
        for number, _ in poller.poll(left_s * 1000):
            sock = by_number[number]
            try:
                got = sock.recv(ANSWER_BYTES_KEPT)
            except ConnectionError:
                got = b""
            answers[sock] += got
            if not got:
                ends[_end_of(answers.pop(sock))] += 1
                poller.unregister(sock)
                sock.close()
    ends[STILL_OPEN] += len(answers)
    for sock in answers:
        sock.close()
    took_s = round(time.monotonic() - since, 1)
    return {"connections": connections, "bytes": connections * len(kind.begin), "ends": +ends, "seconds": took_s}


def _end_of(answer: bytes) -> str:
    """Return the status of the response, or the code and reason of the close frame, at the end of what came."""
    if answer.startswith(b"HTTP/1.1 "):
        return answer[9:12].decode()
    at = answer.rfind(bytes([CLOSE]))
    if at < 0 or len(answer) < at + 4 or answer[at + 1] >= SMALL:
        return "reset"
    code, reason = int.from_bytes(answer[at + 2 : at + 4], "big"), answer[at + 4 : at + 2 + answer[at + 1]]
    return f"{code} {reason.decode(errors='replace')}".strip()


def main(options: argparse.Namespace) -> dict[str, object]:
    """Flood, and return how it went."""
    host, _, port = options.address.rpartition(":")
    address, kind = (host, int(port)), KINDS[options.kind]
    if kind.begin.startswith(POST):
        token = Tokens(os.environ["LIVEGIFT_JWT_SECRET"]).sign(CREATOR, "creator")
        kind = Kind(kind.begin.replace(b"%b", token.encode()), kind.piece)
    if not kind.piece:
        return halves(address, kind, options.connections)
    since = time.monotonic()
    until = since + options.seconds
    sent, end = endless(address, kind, max(until, since + FIRST_END_TIMEOUT_S))
    ends = Counter([end])
    while time.monotonic() < until:
        size, end = endless(address, kind, until)
        sent += size
        ends[end] += 1
    took_s = round(time.monotonic() - since, 1)
    return {"connections": ends.total(), "bytes": sent, "ends": ends, "seconds": took_s}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seconds", type=float, required=True, help="of the kinds that send without end")
    parser.add_argument("--connections", type=int, required=True, help="of the kinds that send half a request")
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(main(arguments())))
