"""What is logged, at which level."""

import subprocess
import sys

import pytest

SCRIPT = """
import logging, sys
import structlog
from livegift.runtime import logs
logs.configure("json", "test", sys.argv[1])
ours, theirs = structlog.get_logger("livegift.processes.web"), logging.getLogger("stripe")
for level in ("debug", "info", "warning", "error"):
    getattr(ours, level)(f"ours.{level}")
    getattr(theirs, level)(f"theirs.{level}")
logging.getLogger("uvicorn.error").info("GET /v1/ws?token=secret")
"""
LEVELS = ["debug", "info", "warning", "error"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_least_level_and_never_a_librarys_debug_lines(level: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, level], capture_output=True, text=True, check=True)
    wanted = LEVELS[LEVELS.index(level) :]
    for each in LEVELS:
        assert (f"ours.{each}" in done.stderr) == (each in wanted)
        assert (f"theirs.{each}" in done.stderr) == (each in wanted and each != "debug")
    assert "secret" not in done.stderr
    assert done.stdout == ""
