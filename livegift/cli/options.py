"""Options and settings that commands share."""

from pathlib import Path

import click
import structlog

from livegift.runtime import logs
from livegift.runtime.settings import DEFAULT_DATA_DIR, Settings, settings_source

log = structlog.get_logger()

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="data folder of `livegift dev`, whose `env` file has what the environment does not set",
)


def open_settings(data: Path, *, of_process: bool = False) -> Settings:
    """Load the settings and configure logging by them. Raises ConfigError.

    With `of_process`, for long-running processes, the source of the settings is logged; a command's output need not say
    it.
    """
    from livegift.composition import load_settings

    settings = load_settings(data)
    logs.configure(settings.log_format, "cli", settings.log_level)
    source = settings_source(data) if of_process else None
    if source:
        log.info("settings.from_file", path=source)
    return settings
