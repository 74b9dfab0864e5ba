"""Signatures of Redis Functions: Python functions without a body, whose parameters are the keys and arguments in order.

Calling one returns the command. `generate.py` writes the head of the Lua function from it, so the order is defined
once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, get_args, get_type_hints

from livegift.contract.bounds import AMOUNT_MAX
from livegift.store.link import Command

VERSION = 2

Argument = str | bytes | int
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of an argument, and how Lua reads it: in `lua`, `{}` stands for `argv[i]`."""

    name: str
    lua: str = "{}"


KEY, REPEATED, COUNTED = Kind("key"), Kind("repeated"), Kind("counted")

Key = Annotated[str, KEY]
Text = Annotated[str | bytes, Kind("text")]
Json = Annotated[str | bytes, Kind("JSON")]
PositionText = Annotated[str | bytes, Kind("position, <epoch>-<n>")]
Flag = Annotated[Literal["0", "1"], Kind("'1' or '0'", "{} == '1'")]

# Lua checks these digit by digit; they are nil if they are malformed.
Amount = Annotated[int, Kind(f"integer 0..{AMOUNT_MAX}", "parse({})")]
SignedAmount = Annotated[int, Kind(f"integer -{AMOUNT_MAX}..{AMOUNT_MAX}", "parse_signed({})")]
# These come from livegift's own stores and are not checked.
Integer = Annotated[int, Kind("integer", "tonumber({})")]
OptionalInteger = Annotated[int | Literal[""], Kind("integer, or '' for none", "tonumber({})")]
Digits = Annotated[int | str | bytes, Kind("integer, which Lua only passes on")]

# A parameter that takes records, one after the other: to the end, or preceded by their number.
Repeated: TypeAlias = Annotated[Iterable[T], REPEATED]
Counted: TypeAlias = Annotated[Sequence[T], COUNTED]


@dataclass(frozen=True, slots=True)
class Packed:
    """An annotation: the parameter takes the fields of such records in one list, which saves an object per gift."""

    record: Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function, or a field of a record. `fields` are those of a repeated record."""

    name: str
    kind: Kind
    fields: tuple["Parameter", ...] = ()
    is_flat: bool = True
    """False when the value is a list of records instead of one argument or a list of arguments."""


def _parameter(name: str, hint: Any) -> Parameter:
    base, kind = get_args(hint)
    if isinstance(kind, Packed):
        return Parameter(name, REPEATED, _fields(kind.record))
    if kind not in (REPEATED, COUNTED):
        return Parameter(name, kind)
    (item,) = get_args(base)
    if hasattr(item, "__metadata__"):
        return Parameter(name, kind, (_parameter(name.removesuffix("s"), item),))
    return Parameter(name, kind, _fields(item), is_flat=False)


def _fields(record: Any) -> tuple[Parameter, ...]:
    hints = get_type_hints(record, include_extras=True)
    return tuple(_parameter(field, hints[field]) for field in record._fields)


class RedisFunction(Generic[P]):
    """A version of a Redis Function. Calling it returns the command that calls it in Redis."""

    def __init__(
        self, declared: Callable[P, None], flags: tuple[str, ...], reply: tuple[str, ...], version: int
    ) -> None:
        """Take the signature and, from the docstring, the contract of `declared`."""
        hints = get_type_hints(declared, include_extras=True)
        hints.pop("return")
        self.parameters = tuple(_parameter(name, hint) for name, hint in hints.items())
        self.name, self.flags, self.reply = declared.__name__, flags, reply
        self.doc = getdoc(declared) or ""
        self._declared = declared
        self._names = tuple(hints)
        keys = sum(parameter.kind is KEY for parameter in self.parameters)
        self._head = ("FCALL", f"{self.name}_{version}", keys)
        self._is_flat = not any(parameter.fields for parameter in self.parameters)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Command:
        """Return the command with these arguments."""
        values: tuple[Any, ...] = args
        if kwargs:
            values += tuple([kwargs[name] for name in self._names[len(args) :]])
        if self._is_flat:
            return (*self._head, *values)
        packed: list[Argument] = [*self._head]
        for parameter, value in zip(self.parameters, values, strict=True):
            if not parameter.fields:
                packed.append(value)
                continue
            if parameter.kind is COUNTED:
                packed.append(len(value))
            if parameter.is_flat:
                packed += value
            else:
                for record in value:
                    packed += record
        return tuple(packed)

    def of_version(self, version: int) -> "RedisFunction[P]":
        """Return the same function of another version."""
        return RedisFunction(self._declared, self.flags, self.reply, version)


FUNCTIONS: dict[str, RedisFunction[...]] = {}


def redis_function(
    *, writes: bool = True, allow_oom: bool = False, reply: tuple[str, ...] = ()
) -> Callable[[Callable[P, None]], RedisFunction[P]]:
    """Declare a function. `reply` names the items of a reply that is a list of a fixed length.

    A function with `allow_oom` works when memory is full, as those that drain or repair have to.
    """

    def declare(declared: Callable[P, None]) -> RedisFunction[P]:
        flags = ("allow-oom",) if allow_oom else () if writes else ("no-writes",)
        function = RedisFunction(declared, flags, reply, VERSION)
        if function.name in FUNCTIONS:
            raise ValueError(f"expected one declaration of {function.name}, got two")
        FUNCTIONS[function.name] = function
        return function

    return declare
