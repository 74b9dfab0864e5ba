"""Parsing of a client's frames into commands, or into errors that name the field."""

import re
from typing import TypeVar

import msgspec
import orjson

from livegift.contract.bounds import PATTERNS
from livegift.contract.errors import RequestError
from livegift.contract.values import CommandId, is_id

T = TypeVar("T")


class BadFrameError(Exception):
    """A frame that is not a JSON object: the connection is closed (4400)."""


class BadCommandError(RequestError):
    """A JSON object that is not a valid command. `ref` and `id` are set when they could be read."""

    def __init__(self, detail: str, kind: str, ref: str | None, command_id: CommandId | None) -> None:
        """Describe an invalid command of type `kind`, as far as that could be read."""
        super().__init__("invalid", detail)
        self.kind_of_command = kind
        self.ref = ref
        self.id = command_id


def parse_command(text: str | bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Parse one frame as a command that `decoder` knows. Raises BadFrameError or BadCommandError (names the field)."""
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError as error:
        problem = error
    except RecursionError:
        raise BadFrameError("expected a JSON object that is not nested so deep") from None
    whole = without_halves(text)
    if whole is not None:
        return parse_command(whole, decoder)
    try:
        loose = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrameError("expected a JSON object") from None
    if not isinstance(loose, dict):
        raise BadFrameError("expected a JSON object")
    kind, ref = loose.get("type"), loose.get("ref")
    legible = ref if isinstance(ref, str) and is_id(ref) else None
    raise BadCommandError(
        explain(problem), kind if isinstance(kind, str) else "", legible, _legible_id(loose.get("id"))
    ) from None


def _legible_id(found: object) -> CommandId | None:
    try:
        command_id: CommandId = msgspec.convert(found, CommandId)
    except msgspec.ValidationError:
        return None
    return command_id


# Half of a character beyond 16 bits that was cut in two, as JavaScript's `text.slice(0, 200)` does: half of a pair of
# escapes. An escape is read from its backslash on, so that the second half of an escaped backslash begins none.
_HALVES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def without_halves(text: str | bytes) -> bytes | None:
    """Return JSON with U+FFFD for each half of a character in it, None where there are none.

    JSON can carry halves (RFC 8259, 8.2), but they can't be stored or shown. U+FFFD is what the web puts in their place
    (https://infra.spec.whatwg.org/#javascript-string-convert); no id can contain it, so no id becomes another one.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    whole = _HALVES.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)
    return whole if whole != data else None


def explain(problem: msgspec.MsgspecError) -> str:
    """Rewrite a msgspec message such as "Expected `int` >= 1 - at `$.count`": field first, patterns in words."""
    what, _, where = str(problem).partition(" - at `$")
    field = where.strip("`.")
    pattern = what.partition("matching regex ")[2]
    if pattern:
        wanted = next((words for known, words in PATTERNS.items() if repr(known) == pattern), "other characters")
        what = f"expected {wanted}"
    return f"{field}: {what}" if field else what
