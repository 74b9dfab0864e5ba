"""A message for many connections: each form of it is made once, when the first connection needs it."""

import struct
import zlib
from functools import cached_property

from livegift.runtime.bounds import COMPRESS_BYTES_MIN, COMPRESS_LEVEL

_TEXT, _TEXT_DEFLATED = 0x81, 0xC1  # RFC 6455, 5.2: FIN and opcode 1; with RSV1 as RFC 7692, 6 has it
_LENGTH_7, _LENGTH_16 = 126, 65_536
_EMPTY_BLOCK = b"\x00\x00\xff\xff"  # RFC 7692, 7.2.1: the end of a flush is left out


def _framed(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _LENGTH_7:
        return struct.pack("!BB", first, size) + payload
    if size < _LENGTH_16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def text_frame(payload: bytes) -> bytes:
    """Return an unmasked text frame, as servers send them (RFC 6455, 5.1)."""
    return _framed(_TEXT, payload)


class PreparedMessage:
    """A text message, as JSON bytes."""

    def __init__(self, payload: bytes) -> None:
        """Prepare `payload`, which is UTF-8."""
        self.payload = payload

    @cached_property
    def text(self) -> str:
        """Return the text, for a server that does its own framing."""
        return self.payload.decode()

    @cached_property
    def plain(self) -> bytes:
        """Return the uncompressed frame."""
        return text_frame(self.payload)

    @cached_property
    def deflated(self) -> bytes:
        """Return the frame compressed on its own (no context takeover), the same for all; `plain` if small.

        The window is 32 KiB, so only connections that have agreed to no less can take it.
        """
        if len(self.payload) < COMPRESS_BYTES_MIN:
            return self.plain
        compressor = zlib.compressobj(COMPRESS_LEVEL, wbits=-zlib.MAX_WBITS)
        data = compressor.compress(self.payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return _framed(_TEXT_DEFLATED, data.removesuffix(_EMPTY_BLOCK))
