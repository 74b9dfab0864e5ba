"""Valid requests, made of nothing but what routes declare."""

import random
from collections.abc import Callable, Mapping

from msgspec import Struct, inspect

from livegift.contract.bounds import (
    CURRENCY_PATTERN,
    HOLDER_PATTERN,
    ICON_PATTERN,
    ID_PATTERN,
    TEXT_PATTERN,
    USER_ID_PATTERN,
)

GIVEN_SHARE = 0.6  # of the fields that can be left out
ITEMS_MAX = 4
_LETTERS = "abcxyzABCXYZ"
_ID_LETTERS = f"{_LETTERS}019._:-"


def _letters(rng: random.Random, letters: str, least: int, most: int) -> str:
    """More often a short text or one of the greatest length."""
    length = rng.choice((least, most, min(most, least + rng.randrange(12)), rng.randint(least, most)))
    return "".join(rng.choice(letters) for _ in range(length))


# A pattern that is missing here fails the test that makes one body of each kind.
_BY_PATTERN: Mapping[str, Callable[[random.Random, int, int], str]] = {
    ID_PATTERN: lambda rng, _, __: _letters(rng, _ID_LETTERS, 1, 64),
    USER_ID_PATTERN: lambda rng, _, __: "u" + _letters(rng, f"{_ID_LETTERS}@|+~='", 0, 127),
    TEXT_PATTERN: lambda rng, low, high: "T" + _letters(rng, f"{_LETTERS} é漢🌹'\"<&\\{{", max(0, low - 1), high - 1),
    ICON_PATTERN: lambda rng, _, __: rng.choice(("🌹", "x" * 16, "https://pictures.example/a.png")),
    CURRENCY_PATTERN: lambda rng, _, __: rng.choice(("USD", "EUR", "JPY", "KWD", "XXX")),
    HOLDER_PATTERN: lambda rng, low, high: "H" + _letters(rng, f"{_LETTERS} .é", max(0, low - 1), high - 1),
}


def valid_body(rng: random.Random, kind: type[Struct]) -> object:
    """JSON that its route's declaration allows."""
    return _value(rng, inspect.type_info(kind))


def _value(rng: random.Random, kind: inspect.Type) -> object:
    match kind:
        case inspect.Metadata(type=inner):
            return _value(rng, inner)
        case inspect.UnionType(types=types):
            return _value(rng, rng.choice(types))
        case inspect.StructType(fields=fields):
            given = [each for each in fields if each.required or rng.random() < GIVEN_SHARE]
            return {each.encode_name: _value(rng, each.type) for each in given}
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            low, high = least or 0, ITEMS_MAX if most is None else most
            return [_value(rng, item) for _ in range(rng.randint(low, max(low, min(ITEMS_MAX, high))))]
        case inspect.IntType(ge=least, le=most):
            low, high = int(least or 0), int(most if most is not None else 2**53)
            return rng.choice((low, high, min(high, low + rng.randrange(1_000)), rng.randint(low, high)))
        case inspect.StrType(pattern=None, min_length=least, max_length=most):
            return _letters(rng, _LETTERS, least or 0, most or 64)
        case inspect.StrType(pattern=pattern, min_length=least, max_length=most):
            return _BY_PATTERN[str(pattern)](rng, least or 0, most or 64)
        case inspect.LiteralType(values=values):
            return rng.choice(values)
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.NoneType():
            return None
    raise TypeError(f"expected a kind that is generated, got {kind}")
