"""Types of the contract in words, and the tables of fields that the pages about the protocol have."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, inspect

from livegift.contract.bounds import AMOUNT_MAX, ID_PATTERN, INTEGER_MAX, PATTERNS, USER_ID_PATTERN
from livegift.reference.markdown import code, table

# Ids are so many that the page says once what they look like.
WORDS = {
    **{pattern: f"text: {said}" for pattern, said in PATTERNS.items()},
    ID_PATTERN: "id",
    USER_ID_PATTERN: "user id",
}
NUMBERS = {AMOUNT_MAX: "10^13", INTEGER_MAX: "2^53 - 1", INTEGER_MAX + 1: "2^53", -INTEGER_MAX: "-(2^53 - 1)"}
_KINDS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "boolean",
    inspect.RawType: "any JSON",
    inspect.AnyType: "any JSON",
}


class Types:
    """Types in words; remembers the Structs that it has named, so that a page can describe them."""

    def __init__(self) -> None:
        """Nothing is named yet."""
        self.named: dict[str, type[msgspec.Struct]] = {}

    def fields(self, model: type[msgspec.Struct], *, leave_out: Iterable[str] = ()) -> str:
        """Return the table of a model's fields; empty when it has none."""
        described = inspect.type_info(model)
        assert isinstance(described, inspect.StructType)  # noqa: S101 - what it says of any Struct
        rows = [self._row(field) for field in described.fields if field.encode_name not in set(leave_out)]
        return table(("field", "type", "", "meaning"), rows) if rows else ""

    def _row(self, field: inspect.Field) -> tuple[str, str, str, str]:
        kind, may_miss = field.type, not field.required
        if field.required or field.default in (None, UNSET, msgspec.NODEFAULT):
            noted = "may be missing" if may_miss else ""
        else:
            noted = f"default {code(msgspec.json.encode(field.default).decode())}"
        return code(field.encode_name), self.words(kind), noted, _description(kind)

    def words(self, kind: inspect.Type) -> str:
        """Return a type in words."""
        if isinstance(kind, inspect.Metadata):
            return self.words(kind.type)
        if isinstance(kind, inspect.UnionType):
            return " or ".join(self.words(each) for each in kind.types if not _is_missing(each))
        if isinstance(kind, inspect.StructType):
            return self._link(kind.cls)
        if isinstance(kind, inspect.ListType | inspect.VarTupleType):
            return f"list of {self.words(kind.item_type)}"
        if isinstance(kind, inspect.DictType):
            return f"object: {self.words(kind.key_type)} → {self.words(kind.value_type)}"
        if isinstance(kind, inspect.LiteralType):
            return " or ".join(code(msgspec.json.encode(value).decode()) for value in kind.values)
        if isinstance(kind, inspect.StrType):
            return _text(kind)
        if isinstance(kind, inspect.IntType | inspect.FloatType):
            return _number(kind)
        return _KINDS.get(type(kind), "null")

    def _link(self, model: type[msgspec.Struct]) -> str:
        name = model.__name__
        if model.__struct_config__.tag is None:
            self.named[name] = model
            return f"[{name}](#{name.lower()})"
        return f"[{model.__struct_config__.tag}](#{str(model.__struct_config__.tag).replace('.', '')})"


def _is_missing(kind: inspect.Type) -> bool:
    """Return whether it is the mark of a field that may be left out, which is not JSON."""
    return isinstance(kind, inspect.CustomType) and kind.cls is msgspec.UnsetType


def _description(kind: inspect.Type) -> str:
    """Return the description of a type, or of the first part of a union that has one."""
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    schemas = (part.extra_json_schema or {} for part in parts if isinstance(part, inspect.Metadata))
    return next((str(schema["description"]) for schema in schemas if "description" in schema), "")


def _text(kind: inspect.StrType) -> str:
    if kind.pattern in WORDS and kind.max_length is None:
        return WORDS[kind.pattern]
    if kind.max_length is not None:
        return f"text of {kind.min_length or 0} to {kind.max_length:,} characters"
    return "text"


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    word = "integer" if isinstance(kind, inspect.IntType) else "number"
    if kind.ge is not None and kind.le is not None:
        return f"{word}, {_shown(kind.ge)} to {_shown(kind.le)}"
    return word if kind.ge is None else f"{word}, {_shown(kind.ge)} or more"


def _shown(value: float) -> str:
    return NUMBERS.get(int(value), f"{value:,}")
