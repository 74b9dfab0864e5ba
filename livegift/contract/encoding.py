"""The encoding of messages and events."""

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode
"""Return the JSON of a Struct or any other value, UTF-8."""


def written(json: bytes | msgspec.Raw) -> Any:
    """Return existing JSON for a field of any type: it is copied unchanged when the message is written."""
    return msgspec.Raw(json)


def joined(first: bytes, second: bytes) -> bytes:
    """Return one JSON object with the fields of both, of which only the second may be empty."""
    return first if second == b"{}" else b"%b,%b" % (first[:-1], second[1:])
