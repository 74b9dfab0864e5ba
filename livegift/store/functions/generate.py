"""Generate the code that repeats signatures and records: `python -m livegift.store.functions.generate`.

A block begins with one of these lines and ends with `-- [/generated]`. The lines between them are replaced.

    -- [generated] function NAME                         its head: contract and locals
    -- [generated] each FUNCTION.PARAMETER[ into NAME]   a loop over a repeated parameter, whose fields become locals
    -- [generated] count FUNCTION.PARAMETER              the number of its items; not an integer if they are malformed
    -- [generated] read RECORD from EXPRESSION           the record's fields as locals, nil if the text is not one
    -- [generated] write RECORD to NAME                  the text of a record, or of a journal entry (its class)
    -- [generated] format RECORD to NAME                 the text of a record whose integers are Lua numbers
    -- [generated] reply FUNCTION                        its reply, from locals
    -- [generated] constant NAME
    -- [generated] registrations                         of the functions above
    # [generated] pack FUNCTION.PARAMETER to NAME        in Python: adds the fields of one record to a list

After a colon come, for reading, the fields to read, as in `: combo as first, rest` (`rest` is what follows the last
one); for writing, the expressions for fields that are not locals of the same name, as in `: send.user`. `send.*` covers
all other fields, and `incarnation.epoch as relay_epoch` names the field where the names differ. An expression for
`why_json` is the field `why` that is JSON already. A comma at the end of the line continues the list on the next one.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

from msgspec import Struct
from msgspec.structs import fields as struct_fields

from livegift.contract import journal
from livegift.contract.bounds import AMOUNT_MAX
from livegift.store.functions import leases, partitions, rooms, wallets
from livegift.store.functions.records import NUMBERS, PATTERNS, RECORDS, Record
from livegift.store.functions.signature import COUNTED, FUNCTIONS, KEY, VERSION, Parameter, RedisFunction

FOLDER = Path(__file__).parent
FILES = (*sorted(FOLDER.glob("*.lua")), FOLDER.parent / "rooms.py", FOLDER.parent / "wallets.py")
DECLARED = (leases, partitions, rooms, wallets)  # importing them fills FUNCTIONS
CONSTANTS = {"AMOUNT_MAX": AMOUNT_MAX}
LINE_MAX = 120
BEGIN = re.compile(r"^( *)(--|#) \[generated\] (\w+) ?([^:]*)(?:: (.+))?$")
END = re.compile(r"^ *(--|#) \[/generated\]$")


def regenerated(text: str) -> str:
    """Return a file's text with its blocks regenerated. Raises KeyError or ValueError for a malformed block."""
    lines = iter(text.splitlines())
    written: list[str] = []
    for line in lines:
        written.append(line)
        begin = BEGIN.match(line)
        if begin is None:
            continue
        indent, comment, verb, about, listed = begin.groups(default="")
        while listed.endswith(","):  # continues on the next line
            written.append(next(lines))
            listed += written[-1].strip().removeprefix(comment)
        last = next((end for end in lines if END.match(end)), None)
        if last is None or not (verb in VERBS or verb == "registrations"):
            raise ValueError(
                f"expected one of {', '.join(VERBS)}, registrations, and [/generated] at the end, got {line!r}"
            )
        options = [option.strip() for option in listed.split(",") if option.strip()]
        body = _registrations(written) if verb == "registrations" else VERBS[verb](about.strip(), options)
        written += [indent + row if row else row for row in body]
        written.append(f"{indent}{'  ' if verb in ('function', 'each') else ''}{comment} [/generated]")
    return "\n".join(written) + "\n"


def _function(name: str, _: list[str]) -> list[str]:
    function = FUNCTIONS[name]
    has_key = any(parameter.kind is KEY for parameter in function.parameters)
    names = ["keys" if has_key else "_", "argv"] if len(function.parameters) > has_key else ["keys"] * has_key
    body = [f"-- {row}".rstrip() for row in function.doc.splitlines()]
    body.append(f"local function {name}_{VERSION}({', '.join(names)})")
    for parameter, at in _places(function):
        if parameter.kind is KEY:
            body.append(f"  local {parameter.name} = keys[1]")
        elif parameter.kind is COUNTED:
            body.append(f"  local {parameter.name}_count = tonumber(argv[{at}])")
        elif not parameter.fields:
            body.append(f"  local {parameter.name} = {parameter.kind.lua.format(f'argv[{at}]')}")
    return body


def _places(function: RedisFunction[...]) -> Iterator[tuple[Parameter, str]]:
    """Yield each parameter and its index in ARGV: a number, or a sum of numbers and counts."""
    at, before = 1, ""
    for parameter in function.parameters:
        yield parameter, f"{at}{before}"
        at += parameter.kind is not KEY
        if parameter.kind is COUNTED:
            width = len(parameter.fields)
            before += f" + {width} * {parameter.name}_count" if width > 1 else f" + {parameter.name}_count"


def _repeated(about: str) -> tuple[Parameter, str]:
    function, _, name = about.partition(".")
    return next((parameter, at) for parameter, at in _places(FUNCTIONS[function]) if parameter.name == name)


def _each(about: str, chosen: list[str]) -> list[str]:
    what, _, variable = about.partition(" into ")
    parameter, at = _repeated(what)
    width = len(parameter.fields)
    step = f", {width}" if width > 1 else ""
    if parameter.kind is COUNTED:
        first = str(int(at) + 1)
        until = f"{at} + {parameter.name}_count" if width == 1 else f"{at} + {width} * {parameter.name}_count"
    else:
        first, until = at, "#argv"
    aliases = _aliases(chosen) or {field.name: field.name for field in parameter.fields}
    values = [
        (aliases[field.name], field.kind.lua.format(f"argv[at + {i}]" if i else "argv[at]"))
        for i, field in enumerate(parameter.fields)
        if field.name in aliases
    ]
    if variable:
        body = [f"  local {variable} = {{", *(f"    {name} = {value}," for name, value in values), "  }"]
    else:
        body = [f"  local {name} = {value}" for name, value in values]
    return [f"for at = {first}, {until}{step} do", *body]


def _count(about: str, _: list[str]) -> list[str]:
    parameter, at = _repeated(about)
    return [f"local {parameter.name}_count = (#argv - {int(at) - 1}) / {len(parameter.fields)}"]


def _aliases(chosen: list[str]) -> dict[str, str]:
    """Return field -> name of the local."""
    return {field: alias or field for field, _, alias in (option.partition(" as ") for option in chosen)}


def _read(about: str, chosen: list[str]) -> list[str]:
    name, _, expression = about.partition(" from ")
    record = RECORDS[name]
    aliases = _aliases(chosen) or {field: field for field in record.kinds}
    rest = aliases.pop("rest", None)
    last = max(list(record.kinds).index(field) for field in aliases)
    pattern = "^" + _escaped(record.literals[0])
    for i, (field, kind) in enumerate(list(record.kinds.items())[: last + 1]):
        part = PATTERNS[kind][0]
        pattern += f"({part})" if field in aliases else part
        if i < last or not rest:
            pattern += _escaped(record.literals[i + 1])
    if rest:
        pattern += "(.*)$"
    elif last == len(record.kinds) - 1:
        pattern += "$"
    names = ", ".join([aliases[field] for field in record.kinds if field in aliases] + ([rest] if rest else []))
    return _broken(f"local {names} =", f"{expression}:match('{pattern}')")


def _escaped(literal: str) -> str:
    """Return a literal escaped for a Lua pattern."""
    return re.sub(r"([-^$()%.\[\]*+?])", r"%\1", literal).replace("\n", "\\n")


def _write(about: str, found: list[str]) -> list[str]:
    name, _, variable = about.partition(" to ")
    at = _found(found)
    pieces = _record_pieces(RECORDS[name], at) if name in RECORDS else _entry_pieces(getattr(journal, name), at)
    if unused := {expression for expression in at.values() if not any(expression in piece for piece in pieces)}:
        raise ValueError(f"expected fields of {name}, got {', '.join(sorted(unused))}")
    return _broken(f"local {variable} =", *(piece for piece in pieces if piece != "''"))


def _format(about: str, found: list[str]) -> list[str]:
    name, _, variable = about.partition(" to ")
    record, at = RECORDS[name], _found(found)
    others = at.pop("*", "*").removesuffix("*")
    if unknown := set(at) - set(record.kinds):
        raise ValueError(f"expected fields of {name}, got {', '.join(sorted(unknown))}")
    form = record.literals[0]
    for kind, literal in zip(record.kinds.values(), record.literals[1:], strict=True):
        form += ("%d" if kind in NUMBERS else "%s") + literal
    pieces = [_literal(form), *(at.get(field, others + field) for field in record.kinds)]
    return _broken(f"local {variable} = format(", *pieces, glue=", ", end=")")


def _found(found: list[str]) -> dict[str, str]:
    """Return field -> expression."""
    parts = (option.partition(" as ") for option in found)
    return {name or expression.rpartition(".")[2]: expression for expression, _, name in parts}


def _pack(about: str, found: list[str]) -> list[str]:
    what, _, variable = about.partition(" to ")
    parameter, _ = _repeated(what)
    at = _found(found)
    others = at.pop("*", "*").removesuffix("*")
    names = [field.name for field in parameter.fields]
    if unknown := set(at) - set(names):
        raise ValueError(f"expected fields of {what}, got {', '.join(sorted(unknown))}")
    return [f"{variable} += (", *(f"    {at.get(name, others + name)}," for name in names), ")"]


def _literal(text: str) -> str:
    return "'" + text.replace("\n", "\\n") + "'"


def _record_pieces(record: Record, at: dict[str, str]) -> list[str]:
    pieces = [_literal(record.literals[0])]
    for field, literal in zip(record.kinds, record.literals[1:], strict=True):
        pieces += [at.get(field, field), _literal(literal)]
    return pieces


def _entry_pieces(entry: type[Struct], at: dict[str, str]) -> list[str]:
    hints = get_type_hints(entry)
    pieces: list[str] = []
    literal = f'["{entry.__struct_config__.tag}"'
    for field in struct_fields(entry):
        kind = hints[field.name]
        value = at.get(field.name, field.name)
        if NoneType in get_args(kind) and issubclass(get_args(kind)[0], Struct):  # the last one, left out when nil
            pieces += [_literal(literal), f"({value} and ',' .. {value} or '')"]
            literal = ""
        elif kind is str and f"{field.name}_json" in at and f"{field.name}_json" not in hints:
            pieces += [_literal(literal + ","), at[f"{field.name}_json"]]
            literal = ""
        elif kind is str:
            pieces += [_literal(literal + ',"'), value]
            literal = '"'
        else:
            pieces += [_literal(literal + ","), f"({value} and 'true' or 'false')" if kind is bool else value]
            literal = ""
    return [*pieces, _literal(literal + "]")]


def _broken(head: str, *pieces: str, glue: str = " .. ", end: str = "") -> list[str]:
    """Return a statement `head a .. b .. c` in lines that are short enough."""
    body = [head]
    for i, piece in enumerate(pieces):
        opening = "" if head.endswith("(") else " "
        part = f"{glue}{piece}" if i else f"{opening}{piece}"
        if len(body[-1] + part) > LINE_MAX - 8:
            if glue.startswith(","):
                body[-1] += ","
                part = part.removeprefix(",")
            body.append(" ")
        body[-1] += part
    body[-1] += end
    return body


def _reply(name: str, _: list[str]) -> list[str]:
    return [f"return {{ {', '.join(FUNCTIONS[name].reply)} }}"]


def _constant(name: str, _: list[str]) -> list[str]:
    return [f"local {name} = {CONSTANTS[name]}"]


def _registrations(written: list[str]) -> list[str]:
    body = []
    for line in written:
        begin = BEGIN.match(line)
        if begin and begin[3] == "function":
            name = f"{begin[4].strip()}_{VERSION}"
            flags = ", ".join(f"'{flag}'" for flag in FUNCTIONS[begin[4].strip()].flags)
            options = (f"function_name = '{name}', callback = {name},", f"flags = {{ {flags} }}".replace("{  }", "{}"))
            body.append(f"redis.register_function {{ {' '.join(options)} }}")
            if len(body[-1]) > LINE_MAX:
                body[-1:] = ["redis.register_function {", *(f"  {option}" for option in options), "}"]
    return body


VERBS = {
    "function": _function,
    "each": _each,
    "count": _count,
    "read": _read,
    "write": _write,
    "format": _format,
    "reply": _reply,
    "constant": _constant,
    "pack": _pack,
}


def stale() -> dict[Path, str]:
    """Return the files that are out of date, with their new texts."""
    texts = {path: path.read_text() for path in FILES}
    return {path: new for path, text in texts.items() if (new := regenerated(text)) != text}


def main() -> None:
    """Rewrite the files that are out of date."""
    for path, text in stale().items():
        path.write_text(text)
        sys.stdout.write(f"{path.name} is written\n")


if __name__ == "__main__":
    main()
