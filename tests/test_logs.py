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
FLOOD = """
import logging
from livegift.runtime import logs
logs.configure("json", "test")
theirs = logging.getLogger("uvicorn.error")
for n in range(100):
    theirs.warning("Invalid HTTP request received.")
    theirs.warning(f"from {n}")
    theirs.error("a fault")
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


def test_what_clients_make_the_server_warn_of_is_logged_rarely() -> None:
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, text=True, check=True)
    counts = [done.stderr.count(text) for text in ("Invalid HTTP", '"event": "from', "a fault")]
    assert counts == [1, 1, 100]
    assert '"not_logged": 0' in done.stderr
