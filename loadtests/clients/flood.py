"""One connection that sends all it can, again and again: `python -m loadtests.clients.flood ADDRESS KIND SECONDS`.

When closed it connects again. Prints as JSON how often that was, how many bytes were sent, and the close codes.
"""

import json
import select
import socket
import sys
import time
from collections import Counter

from loadtests.clients.websocket import PING, client_frame

CHUNK_BYTES = 64 * 1024
BYTES_PER_S = 900_000  # what a slow line carries; more changes nothing
CLOSE = 0x88
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HEADERS = b"GET /v1/gifts HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /v1/gifts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
# What begins a connection, and what is then sent without end.
KINDS = {
    "pings": (UPGRADE, client_frame(b"", PING)),
    "fragments": (UPGRADE, b"\x00\x80\x00\x00\x00\x00"),
    "hellos": (UPGRADE, client_frame(b'{"type":"hello"}')),
    "large frames": (UPGRADE, client_frame(b'{"type":"ping","t":"' + b"x" * 16_000 + b'"}')),
    "half headers": (HEADERS, b"X: y\r\n"),
    "half bodies": (CHUNKED, b"1\r\nx\r\n"),
}


def flood(address: tuple[str, int], kind: str, until: float) -> tuple[int, str]:
    """One connection; the bytes that it sent, and how it ended."""
    begin, piece = KINDS[kind]
    chunk, sent, answer = piece * max(1, CHUNK_BYTES // len(piece)), 0, b""
    started = time.monotonic()
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(begin)
        if begin == UPGRADE:
            sock.recv(4096)
        if kind == "fragments":
            sock.sendall(b"\x01\x80\x00\x00\x00\x00")
        sock.setblocking(False)
        while (now := time.monotonic()) < until:
            ready = sent < (now - started) * BYTES_PER_S + CHUNK_BYTES
            readable, writable, _ = select.select([sock], [sock] if ready else [], [], 0.01)
            try:
                if readable:
                    got = sock.recv(65_536)
                    if not got:
                        return sent, _code(answer)
                    answer = (answer + got)[-4096:]
                if writable:
                    sent += sock.send(chunk)
            except ConnectionError:
                return sent, _code(answer) or "reset"
    return sent, "still open"


def _code(answer: bytes) -> str:
    """The code of the close frame or the response at the end of what came."""
    at = answer.rfind(bytes([CLOSE]))
    if answer.startswith(b"HTTP/1.1 "):
        return answer[9:12].decode()
    return str(int.from_bytes(answer[at + 2 : at + 4], "big")) if at >= 0 else ""


def main() -> None:
    """Flood, then say how it went."""
    host, _, port = sys.argv[1].rpartition(":")
    until = time.monotonic() + float(sys.argv[3])
    sent, ends = 0, Counter[str]()
    while time.monotonic() < until:
        size, end = flood((host, int(port)), sys.argv[2], until)
        sent += size
        ends[end] += 1
    print(json.dumps({"bytes": sent, "connections": sum(ends.values()), "ends": ends}))


if __name__ == "__main__":
    main()
