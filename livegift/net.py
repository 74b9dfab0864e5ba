"""Listening sockets."""

import socket

LISTEN_BACKLOG = 2048
SEND_BUFFER_BYTES = 128 * 1024  # the kernel takes twice that, for its own bookkeeping too


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket that processes can share. Raises OSError when the port is taken."""
    sock = socket.create_server((host, port), backlog=LISTEN_BACKLOG)
    # Its connections inherit this. Left alone the kernel lets one that nobody reads from grow to several MB.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.set_inheritable(True)
    return sock
