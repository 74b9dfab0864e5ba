"""What commands of `livegift` share, the core's and those of features: types of parameters, options, settings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import structlog

from livegift.contract.bounds import USER_ID_EXPECTED
from livegift.contract.values import is_id, is_user_id
from livegift.runtime import logs
from livegift.runtime.settings import DEFAULT_DATA_DIR, Settings, settings_source

log = structlog.get_logger()


class IdType(click.ParamType[str]):
    """An id as the protocol defines it."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id. Fails with a usage error if it is malformed."""
        if not is_id(value):
            self.fail(f"expected 1 to 64 of A-Z a-z 0-9 . _ : -, got {value!r}", param, ctx)
        return value


class UserIdType(click.ParamType[str]):
    """A user's id, as in tokens."""

    name = "user"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id. Fails with a usage error if it is malformed."""
        if not is_user_id(value):
            self.fail(f"expected {USER_ID_EXPECTED}, got {value!r}", param, ctx)
        return value


ID, USER_ID = IdType(), UserIdType()

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="data folder of `livegift dev`, whose `env` file has what the environment does not set",
)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the command line gives to each command: its context's object. `load_settings` takes the data folder."""

    load_settings: Callable[[Path], Settings]


def open_settings(data: Path, *, of_process: bool = False) -> Settings:
    """Load the settings of the core and all features, and configure logging by them. Raises ConfigError.

    It is for commands while they run. With `of_process`, for long-running processes, the source of the settings is
    logged; a command's output need not say it.
    """
    command_line = click.get_current_context().find_object(CommandLine)
    assert command_line is not None  # noqa: S101 - `livegift` itself sets it
    settings = command_line.load_settings(data)
    logs.configure(settings.log_format, "cli", settings.log_level)
    source = settings_source(data) if of_process else None
    if source:
        log.info("settings.from_file", path=source)
    return settings
