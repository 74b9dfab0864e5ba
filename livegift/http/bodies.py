"""Parsing of HTTP bodies and queries, into the types that routes declare."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import Struct, inspect

from livegift.contract.errors import RequestError
from livegift.contract.parsing import explain, without_halves
from livegift.domain.texts import visible

SHOWN_LENGTH_MAX = 20  # of a quoted value, in an error
_NUMBER_LENGTH_MAX = 18  # of any bigint
_SHOWN_FIELDS = ("title", "name", "sponsor_name", "holder")
S = TypeVar("S", bound=Struct)
T = TypeVar("T")


class VisibleTexts(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with texts that people will see."""

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as its own, for a text that would be invisible."""
        for field in _SHOWN_FIELDS:
            text = getattr(self, field, None)
            if text is not None and not visible(text, len(text)):
                raise ValueError(f"{field}: expected a text that can be seen")


def parse_body(body: bytes, model: type[T]) -> T:
    """Parse a request's body as a model. Raises RequestError('invalid') that names the field."""
    try:
        try:
            return msgspec.json.decode(body, type=model)
        except msgspec.MsgspecError as error:
            whole = without_halves(body)
            if whole is None:
                raise RequestError("invalid", explain(error)) from None
        return msgspec.json.decode(whole, type=model)
    except msgspec.MsgspecError as error:
        raise RequestError("invalid", explain(error)) from None
    except UnicodeDecodeError:
        raise RequestError("invalid", "expected JSON in UTF-8") from None
    except RecursionError:
        raise RequestError("invalid", "expected JSON that is not nested so deep") from None


def parse_query(given: Mapping[str, str], model: type[S]) -> S:
    """Parse a request's query as a model; parameters that the model does not name are ignored.

    Raises RequestError('invalid') that names the parameter, what was expected and what came.
    """
    values: dict[str, object] = {}
    for name, (kind, expected) in _parameters(model).items():
        text = given.get(name)
        if text is None:
            if expected.is_required:
                raise _wrong(name, expected.words, "")
            continue
        if isinstance(kind, inspect.IntType):
            # Not `int`, which takes spaces, signs and the digits of all scripts, and any number of them.
            if not (text.isascii() and text.isdecimal() and len(text) <= _NUMBER_LENGTH_MAX):
                raise _wrong(name, expected.words, text)
            values[name] = int(text)
        else:
            values[name] = text
    try:
        return msgspec.convert(values, model)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("`$.")[2].rstrip("`")
        raise _wrong(name, _parameters(model)[name][1].words, given[name]) from None


@dataclass(frozen=True, slots=True)
class _Expected:
    words: str
    is_required: bool


def _wrong(name: str, expected: str, text: str) -> RequestError:
    return RequestError("invalid", f"{name}: expected {expected}, got {text[:SHOWN_LENGTH_MAX]!r}")


@cache
def _parameters(model: type[Struct]) -> dict[str, tuple[inspect.Type, _Expected]]:
    """Return each parameter's type, without that it may be missing, and what is expected of it, in words."""
    info = inspect.type_info(model)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"expected a Struct, got {model}")
    found = {}
    for field in info.fields:
        kind, words = field.type, "another value"
        if isinstance(kind, inspect.UnionType):
            (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
        if isinstance(kind, inspect.Metadata):
            words = str((kind.extra_json_schema or {}).get("description", words))
            kind = kind.type
        if isinstance(kind, inspect.LiteralType):
            words = f"one of {', '.join(map(str, kind.values))}"
        found[field.encode_name] = kind, _Expected(words, field.required)
    return found
