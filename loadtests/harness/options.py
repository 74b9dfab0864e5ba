"""A scenario's options: a frozen dataclass, each of whose fields is a flag of the command line.

The field's type is the flag's type, its default is the full run's value, `short` that of the smallest run which still
goes through all of the scenario's code, and `least` the smallest value that makes sense.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Options = TypeVar("Options")
T = TypeVar("T", int, float)


class OptionError(Exception):
    """An option that the chosen scenarios can't take. The message says what was expected, what came and what to do."""


def number(default: T, *, short: T, about: str, least: T | None = None) -> T:
    """Declare a count, a duration, a rate or a seed. Without `least` it has to be above zero."""
    metadata = {"short": short, "about": about, "least": least}
    return field(default=default, metadata=metadata)  # type: ignore[no-any-return]


def choices(default: tuple[str, ...], *, short: tuple[str, ...], about: str) -> tuple[str, ...]:
    """Declare a selection of names, all of which `default` has."""
    metadata = {"short": short, "about": about, "choices": default}
    return field(default=default, metadata=metadata)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of one or more scenarios, as the command line has it."""

    name: str
    kind: type  # of the value, or of each of several
    is_list: bool
    declared: dict[str, "Field[Any]"]  # by the name of the scenario

    @property
    def spelling(self) -> str:
        """`--like-this`."""
        return "--" + self.name.replace("_", "-")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add it; a flag that is not given is None."""
        told: dict[str, list[str]] = {}
        for scenario, declared in self.declared.items():
            told.setdefault(_about(declared), []).append(scenario)
        text = "; ".join(f"{', '.join(scenarios)}: {about}" for about, scenarios in told.items())
        parser.add_argument(
            self.spelling,
            type=self.kind,
            nargs="+" if self.is_list else None,
            metavar=self.kind.__name__.upper(),
            help=text.replace("%", "%%"),
        )


def _about(declared: "Field[Any]") -> str:
    def told(value: object) -> str:
        return " ".join(f"'{each}'" for each in value) if isinstance(value, tuple) else f"{value:,}"

    metadata = declared.metadata
    return f"{metadata['about']} (default {told(declared.default)}, short {told(metadata['short'])})"


def flags(scenarios: Mapping[str, type]) -> dict[str, Flag]:
    """Return the flags of these scenarios' options by name. One that several have must have one type."""
    found: dict[str, Flag] = {}
    for scenario, options in scenarios.items():
        hints = get_type_hints(options)
        for declared in fields(options):
            hint = hints[declared.name]
            is_list = get_origin(hint) is tuple
            kind = get_args(hint)[0] if is_list else hint
            flag = found.setdefault(declared.name, Flag(declared.name, kind, is_list, {}))
            if (flag.kind, flag.is_list) != (kind, is_list):
                raise TypeError(f"{declared.name}: {scenario} has {hint}, another scenario {flag.kind}")
            flag.declared[scenario] = declared
    return found


def build(options: type[Options], given: Mapping[str, Any], *, is_short: bool) -> Options:
    """Return the scenario's options: what was given, else the value of a short or of a full run. Raises OptionError."""
    values: dict[str, Any] = {}
    for declared in fields(options):  # type: ignore[arg-type]
        value = given.get(declared.name)
        if value is None:
            values[declared.name] = declared.metadata["short"] if is_short else declared.default
            continue
        values[declared.name] = tuple(value) if isinstance(value, list) else value
        _check(declared, values[declared.name])
    return options(**values)


def _check(declared: "Field[Any]", value: Any) -> None:
    spelling = "--" + declared.name.replace("_", "-")
    if isinstance(value, tuple):
        unknown = sorted(set(value) - set(declared.metadata["choices"]))
        if unknown:
            wanted = ", ".join(map(repr, declared.metadata["choices"]))
            raise OptionError(f"{spelling}: expected some of {wanted}, got {', '.join(map(repr, unknown))}")
        return
    least = declared.metadata["least"]
    if least is None and value <= 0:
        raise OptionError(f"{spelling}: expected a number above zero, got {value}")
    if least is not None and value < least:
        raise OptionError(f"{spelling}: expected {least} or more, got {value}")


def given_names(namespace: argparse.Namespace, known: Iterable[str]) -> dict[str, Any]:
    """Return the flags of `known` that the command line has, with their values."""
    return {name: value for name in known if (value := getattr(namespace, name)) is not None}
