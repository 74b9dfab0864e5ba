"""What is written from the code, and its writers."""

from collections.abc import Callable, Mapping
from pathlib import Path

from livegift.reference import commands, errors, http, metrics, protocol, settings, typescript

ROOT = Path(__file__).parents[2]
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/cli.md": commands.write,
    "docs/reference/errors.md": errors.write,
    "docs/reference/http.md": http.write,
    "docs/reference/metrics.md": metrics.write,
    "docs/reference/protocol.md": protocol.write,
    "docs/reference/settings.md": settings.write,
    "client_demo/protocol.d.ts": typescript.write,
}
