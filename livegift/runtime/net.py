"""Listening sockets and network addresses."""

import ipaddress
import socket

from livegift.contract.errors import ConfigError
from livegift.runtime.bounds import IPV6_PREFIX_BITS

LISTEN_BACKLOG = 2048
SEND_BUFFER_BYTES = 128 * 1024  # the kernel takes twice that, for its own bookkeeping too


def is_loopback(host: str) -> bool:
    """Return whether a name or an address always means this machine."""
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the IPv6 network that belongs to one customer."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX_BITS), strict=False))


def listen(host: str, port: int) -> socket.socket:
    """Create a listening TCP socket that processes can share. Raises ConfigError when the port can't be used."""
    try:
        sock = socket.create_server((host, port), backlog=LISTEN_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {host} can't be used ({error.strerror or error}): stop what uses it, or choose another "
            "with LIVEGIFT_HOST and LIVEGIFT_PORT, for `livegift dev` with --host and --port (0 takes a free one)"
        ) from None
    # Connections inherit this. Otherwise the kernel lets the buffer of one that nobody reads grow to several MB.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.set_inheritable(True)
    return sock
