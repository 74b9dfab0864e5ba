"""The WebSocket protocol as TypeScript declarations, for the pages, the client library and whoever writes one."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from livegift.contract.commands import Identified
from livegift.contract.events import ANY_EVENT
from livegift.contract.messages import RoomSnapshot
from livegift.processes import app

NOTE = """\
// What `/v1/ws` takes and says. Written by `make generate` from the contract and the features: change it there.

"""

_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
    inspect.AnyType: "unknown",
    inspect.RawType: "unknown",
}


def write() -> str:
    """Return client_demo/protocol.d.ts as the code has it now."""
    events = app.event_kinds()
    unions: dict[str, list[type[msgspec.Struct]]] = {
        "ClientCommand": [command.kind for command in app.commands().by_type.values()],
        "ServerMessage": [*app.messages()],
        ANY_EVENT: [each.kind for each in events],
    }
    parts: dict[type, dict[str, type[msgspec.Struct]]] = {
        RoomSnapshot: {part.name: part.value_type for part in events.parts.values()}
    }
    return NOTE + declarations(unions, parts)


def declarations(
    unions: Mapping[str, Sequence[type[msgspec.Struct]]], parts: Mapping[type, Mapping[str, type[msgspec.Struct]]]
) -> str:
    """Return the declarations of unions by their names, and of every Struct that occurs in one.

    `parts` are fields that features add to a Struct: lists. Two Structs of one name raise ValueError, as does a type
    that no Struct of the protocol has had so far.
    """
    members = {name: list(structs) for name, structs in unions.items()}
    interfaces = _Interfaces(parts)
    for struct in (struct for structs in members.values() for struct in structs):
        interfaces.name_of(inspect.type_info(struct))
    lines = [
        f"export type {name} =\n" + "\n".join(f"  | {struct.__name__}" for struct in structs) + ";\n"
        for name, structs in members.items()
    ]
    return "\n".join([*lines, *interfaces.texts.values()])


class _Interfaces:
    """The declarations of Structs, written once each, in the order in which they are first met."""

    def __init__(self, parts: Mapping[type, Mapping[str, type[msgspec.Struct]]]) -> None:
        self._parts = parts
        self.texts: dict[str, str] = {}
        self._structs: dict[str, type] = {}

    def name_of(self, info: inspect.Type) -> str:
        """Return the TypeScript of a type, and declare the Structs in it."""
        if isinstance(info, inspect.Metadata):
            reference = (info.extra_json_schema or {}).get("$ref")
            return str(reference).rpartition("/")[2] if reference else self.name_of(info.type)
        if type(info) in _PLAIN:
            return _PLAIN[type(info)]
        if isinstance(info, inspect.LiteralType):
            return " | ".join(msgspec.json.encode(value).decode() for value in info.values)
        if isinstance(info, inspect.UnionType):
            return " | ".join(dict.fromkeys(self.name_of(each) for each in info.types))
        if isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.SetType):
            return f"Array<{self.name_of(info.item_type)}>"
        if isinstance(info, inspect.DictType):
            return f"Record<{self.name_of(info.key_type)}, {self.name_of(info.value_type)}>"
        if isinstance(info, inspect.StructType):
            return self._declare(info)
        raise ValueError(f"expected a type that TypeScript has a word for here, got {info}")

    def _declare(self, info: inspect.StructType) -> str:
        name = info.cls.__name__
        if self._structs.setdefault(name, info.cls) is not info.cls:
            raise ValueError(f"expected one Struct of the name {name}: {self._structs[name]} and {info.cls}")
        if name not in self.texts:
            self.texts[name] = ""  # its place, and the end of a recursion
            fields = [_said(info.cls.__doc__, ""), f"export interface {name} {{"]
            if info.tag is not None:
                fields.append(f'  {info.tag_field}: "{info.tag}";')
            for field in info.fields:
                note = _note_of(field.type)
                mark = "?" if _can_miss(info.cls, field) else ""
                fields += [_said(note, "  ")] if note else []
                fields.append(f"  {field.encode_name}{mark}: {self.name_of(field.type)};")
            for part, kind in self._parts.get(info.cls, {}).items():
                fields.append(f"  {part}: Array<{self.name_of(inspect.type_info(kind))}>;")
            self.texts[name] = "\n".join([*fields, "}\n"])
        return name


def _can_miss(struct: type[msgspec.Struct], field: inspect.Field) -> bool:
    """Return whether a client can leave the field out, or the server does: it writes defaults, but not UNSET."""
    if issubclass(struct, Identified) or struct.__struct_config__.omit_defaults:
        return not field.required
    return not field.required and field.default in (msgspec.UNSET, msgspec.NODEFAULT)


def _is_nothing(info: inspect.Type) -> bool:
    is_unset = isinstance(info, inspect.CustomType) and info.cls is msgspec.UnsetType
    return is_unset or isinstance(info, inspect.NoneType)


def _note_of(info: inspect.Type) -> str:
    """Return what the field's type says of its values: bounds, patterns, units."""
    if isinstance(info, inspect.UnionType):  # of what can be null or missing, the other type
        values = [each for each in info.types if not _is_nothing(each)]
        return _note_of(values[0]) if len(values) == 1 else ""
    notes: list[str] = []
    while isinstance(info, inspect.Metadata):
        schema: dict[str, Any] = info.extra_json_schema or {}
        notes += [str(schema[name]) for name in ("description",) if name in schema]
        info = info.type
    if isinstance(info, inspect.IntType | inspect.FloatType):
        bounds = [(">=", info.ge), ("<=", info.le), (">", info.gt), ("<", info.lt)]
        notes += [f"{sign} {value:,}" for sign, value in bounds if value is not None]
    if isinstance(info, inspect.StrType) and info.max_length is not None:
        notes.append(f"{info.min_length or 0} to {info.max_length} characters")
    return ", ".join(notes)


def _said(text: str | None, indent: str) -> str:
    first, *more = (text or "").strip().replace("*/", "* /").splitlines() or [""]
    if not more:
        return f"{indent}/** {first} */"
    lines = [first, *more]
    return "\n".join([f"{indent}/**", *(f"{indent} * {line.strip()}".rstrip() for line in lines), f"{indent} */"])
