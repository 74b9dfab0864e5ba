"""docs/reference/cli.md: every command with its arguments and options, from the parser."""

from collections.abc import Iterator
from pathlib import Path

import click

from livegift.cli.main import cli
from livegift.reference.markdown import code, page, table

INTRODUCTION = """
All commands but `dev` take their settings from the environment ([Settings](settings.md)), and what is missing there
from the `env` file of a `livegift dev` system. Each of them takes `--data FOLDER`, that system's folder (default:
`.livegift`). A command that fails prints one sentence on standard error and exits with 1; a command that is called
with wrong options exits with 2.
"""


def commands(group: click.Group = cli, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that can be called, with its words after `livegift`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def _section(words: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(("livegift", *words)))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not _is_told_once(each, command)]
    parts = [f"## `livegift {' '.join(words)}`", f"```text\n{usage}\n```", _paragraphs(command.help or "")]
    if arguments:
        parts.append(
            table(("argument", "value"), [(code(each.make_metavar(context)), _value(each)) for each in arguments])
        )
    if options:
        parts.append(table(("option", "value", "default", "meaning"), [_option(each) for each in options]))
    return "\n\n".join(part.strip() for part in parts)


def _is_told_once(option: click.Option, command: click.Command) -> bool:
    """Return whether an option needs no line of its own: it is hidden, or described in the introduction."""
    return option.hidden or (option.name == "data" and command.name != "dev")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _option(option: click.Option) -> tuple[str, str, str, str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    if option.required:
        default = "required"
    elif option.is_flag or _is_empty(option.default):
        default = ""
    else:
        default = code(option.default)
    repeated = " (may be given several times)" if option.multiple else ""
    meaning, _, noted = (option.help or "").partition("  [default: ")
    return names, _value(option) + repeated, default or noted.rstrip("]"), meaning


def _is_empty(default: object) -> bool:
    """Return whether an option has no default; click has a mark of its own for that."""
    return not isinstance(default, str | int | float | Path)


def _value(parameter: click.Parameter) -> str:
    """Return the values that a parameter takes, in words."""
    kind = parameter.type
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(code(choice) for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        least = f"more than {kind.min}" if kind.min_open else f"{kind.min:,}"
        return f"{least} to {kind.max:,}"
    if isinstance(kind, click.Path | click.File):
        return "folder" if isinstance(kind, click.Path) and not kind.file_okay else "file"
    return kind.name


def write() -> str:
    """Return the page according to the present code."""
    sections = (_section(*each) for each in commands())
    return page("Command line", "the commands in livegift/cli and those of features", INTRODUCTION, *sections)
