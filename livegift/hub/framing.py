"""The framing of a client's messages, and the few kinds of frames that need no parser (RFC 6455, 5.2)."""

try:
    from websockets.speedups import apply_mask
except ImportError:  # as websockets itself does where it has no compiled extension
    from websockets.utils import apply_mask

# FIN and an opcode; the mask's bit; bytes before the payload of a masked frame, by its 7-bit length.
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
MASKED = 0x80
HEADER_BYTES = {126: 8, 127: 14}
HEADER_BYTES_MIN, HEADER_BYTES_MAX = 6, 14
CONTROL_BYTES_MAX = 125
_WHOLE_TEXT_BITS = 0x8F  # without the bits of extensions: compressed messages are messages


def frame_end(data: bytes, at: int) -> int | None:
    """Return the end of the frame that begins at `at`; None while its header is incomplete."""
    if len(data) < at + 2:
        return None
    length = data[at + 1] & 0x7F
    header = HEADER_BYTES.get(length, HEADER_BYTES_MIN) - (0 if data[at + 1] & MASKED else 4)
    if len(data) < at + header:
        return None
    if length == 126:  # noqa: PLR2004 - RFC 6455, 5.2
        length = int.from_bytes(data[at + 2 : at + 4])
    elif length == 127:  # noqa: PLR2004
        length = int.from_bytes(data[at + 2 : at + 10])
    return at + header + length


def carries_message(first: int) -> bool:
    """Return whether a frame with this first byte is a whole text message."""
    return first & _WHOLE_TEXT_BITS == TEXT


def is_control(data: bytes, at: int, kind: int) -> bool:
    """Return whether a valid control frame of a `kind` begins at `at`: final, masked, short, without reserved bits."""
    return data[at] == kind and MASKED <= data[at + 1] <= MASKED | CONTROL_BYTES_MAX


def unmasked(data: bytes, at: int, end: int) -> bytes:
    """Return the payload of the masked frame between `at` and `end`."""
    payload_at = at + HEADER_BYTES.get(data[at + 1] & 0x7F, HEADER_BYTES_MIN)
    return apply_mask(data[payload_at:end], data[payload_at - 4 : payload_at])


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a ping."""
    return bytes((PONG, len(payload))) + payload
