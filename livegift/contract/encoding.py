"""The one way from a message or an event to bytes."""

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode
"""Return the JSON of a Struct or any other value, UTF-8."""


def written(json: bytes | msgspec.Raw) -> Any:
    """JSON that is there already, for a field of any type: it is copied as it is when the message is written."""
    return msgspec.Raw(json)


def joined(first: bytes, second: bytes) -> bytes:
    """Return one JSON object with the fields of both; neither is empty but perhaps the second."""
    return first if second == b"{}" else b"%b,%b" % (first[:-1], second[1:])
