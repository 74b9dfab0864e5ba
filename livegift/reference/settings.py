"""docs/reference/settings.md: every setting with its default, type and bounds, from the models."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from livegift import composition
from livegift.reference.markdown import code, page, table
from livegift.runtime.settings import PREFIX, CoreSettings

INTRODUCTION = """
Each setting is an environment variable; an empty one counts as not set. `livegift dev` keeps the settings of its
private system in the file `env` of its data folder (`.livegift/env`), where other commands find what the environment
does not have (`--data` names another folder). `PORT`, which some platforms set, stands for `LIVEGIFT_PORT` when that is
not set.

A process with a value that is not valid refuses to start. It names the setting, what was expected, and what it got;
the values of secrets are never shown.
"""
_NUMBERS = {inspect.IntType: "integer", inspect.FloatType: "number"}


def models() -> tuple[type[msgspec.Struct], ...]:
    """Return the models whose fields are settings."""
    return (CoreSettings, *composition.settings_owners())


def page_of(found: tuple[type[msgspec.Struct], ...]) -> str:
    """Return the page for these models."""
    rows = [row for model in found for row in _rows(model)]
    listed = table(("setting", "default", "value", "meaning"), rows)
    return page("Settings", "the models of settings", INTRODUCTION, listed)


def _rows(model: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - what it says of any Struct
    for field in described.fields:
        default = "required" if field.required else _shown(field.default)
        yield code(PREFIX + field.name.upper()), default, _value(field.type), _meaning(field.type)


def _meaning(kind: inspect.Type) -> str:
    extra: dict[str, Any] = (kind.extra_json_schema or {}) if isinstance(kind, inspect.Metadata) else {}
    text = str(extra.get("description", ""))
    # A lone asterisk would be emphasis.
    return re.sub(r"(?<!`)\*(?!`)", r"\\*", text)


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return code(str(default).lower())
    if isinstance(default, Enum):
        return code(default.value)
    return "empty" if default == "" else code(default)


def _value(kind: inspect.Type) -> str:
    """Return the values that a setting takes, in words."""
    if isinstance(kind, inspect.Metadata):
        return _value(kind.type)
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(code(value) for value in kind.values)
    if isinstance(kind, inspect.EnumType):
        return ", ".join(code(member.value) for member in kind.cls)
    if isinstance(kind, inspect.BoolType):
        return "`true` or `false`"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = _NUMBERS[type(kind)]
        if kind.ge is not None and kind.le is not None:
            return f"{word}, {_number(kind.ge)} to {_number(kind.le)}"
        return word if kind.ge is None else f"{word}, {_number(kind.ge)} or more"
    return "text"


def _number(value: float) -> str:
    return f"{value:,.15g}"


def write() -> str:
    """Return the page according to the present code."""
    return page_of(models())
