"""Child processes that never stay behind: they are stopped in every case, and die with us where the system allows."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from livegift.dev.embedded.process import dies_with_parent

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 30.0  # `livegift dev` stops its children in order, which may take it 10 s each way
KILL_TIMEOUT_S = 5.0


class LoadTestError(Exception):
    """The load test itself can't go on. The message says what failed and shows the end of the log."""


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that every `finally` runs."""

    def stop(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)


def start(
    argv: Sequence[str],
    environ: dict[str, str] | None = None,
    *,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    fds: tuple[int, ...] = (),
    program: str = sys.executable,
    on_our_death: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start `python argv…` (or another `program`) in the project's root.

    To be called from the main thread: the kernel watches that one.
    """
    return subprocess.Popen(
        [*dies_with_parent(on_our_death), program, *argv],
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=fds,
        process_group=0,  # Ctrl-C reaches us alone; we stop the others in order
    )


def stop(process: "subprocess.Popen[bytes]", timeout_s: float = STOP_TIMEOUT_S) -> int:
    """SIGTERM, and SIGKILL after `timeout_s`. Returns the exit code; does nothing when it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(KILL_TIMEOUT_S)


@contextmanager
def running(process: "subprocess.Popen[bytes]") -> "Iterator[subprocess.Popen[bytes]]":
    """Stop `process` at the end of the block, whatever happens in it."""
    try:
        yield process
    finally:
        stop(process)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    if not path.exists():
        return ""
    return "\n".join([f"last lines of {path.name}:", *path.read_text(errors="replace").splitlines()[-lines:]])
