"""What commands share: where the settings come from."""

from pathlib import Path

import click
import structlog

from livegift import logs
from livegift.settings import DEFAULT_DATA_DIR, Settings, load_settings, settings_source

log = structlog.get_logger()

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="folder of `livegift dev`, whose `env` file serves where the environment says nothing",
)


def open_settings(data: Path) -> Settings:
    """The settings, with logs as they say. Raises ConfigError."""
    settings = load_settings(data)
    logs.configure(settings.log_format, "cli")
    source = settings_source(data)
    if source:
        log.info("settings.from_file", path=source)
    return settings
