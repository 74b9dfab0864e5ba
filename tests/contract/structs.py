"""JSON that something else than a Struct has written, against its Struct."""

from typing import Any

import msgspec
import orjson

from livegift.contract.encoding import encode


def as_struct(written: bytes, kind: Any) -> Any:
    """Read it as its Struct, which must write the same: no field is missing, none is of another name or type."""
    found = msgspec.json.decode(written, type=kind)
    assert orjson.loads(encode(found)) == orjson.loads(written)
    return found
