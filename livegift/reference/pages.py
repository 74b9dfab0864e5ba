"""The pages and their writers."""

from collections.abc import Callable, Mapping
from pathlib import Path

from livegift.reference import commands, errors, http, metrics, protocol, settings

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": commands.write,
    "errors.md": errors.write,
    "http.md": http.write,
    "metrics.md": metrics.write,
    "protocol.md": protocol.write,
    "settings.md": settings.write,
}
