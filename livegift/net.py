"""Listening sockets."""

import socket

LISTEN_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket that processes can share. Raises OSError when the port is taken."""
    sock = socket.create_server((host, port), backlog=LISTEN_BACKLOG)
    sock.set_inheritable(True)
    return sock
