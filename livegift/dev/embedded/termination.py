"""Ending servers reliably, with their children: those of this process, and those that an earlier run has left."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

from livegift.dev.embedded.binaries import PROBE_TIMEOUT_S, try_run
from livegift.dev.embedded.errors import EmbeddedError

POLL_S = 0.02
STOP_TIMEOUT_S = 20.0
QUIT_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
SIGNAL_REPEAT_S = 0.25


def wait_until(predicate: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `predicate` holds. Returns False when it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def command_line(pid: int) -> list[str]:
    """Return the arguments of a running process; empty when there is none, or only a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return []
        return os.fsdecode(raw).rstrip("\0").split("\0") if raw else []
    found, output = try_run(["ps", "-ww", "-o", "args=", "-p", str(pid)], PROBE_TIMEOUT_S)
    return output.split() if found else []


def end(pid: int, signals: Sequence[tuple[Signals, float]], gone: Callable[[float], bool]) -> None:
    """Send the signals in turn, each with its time limit in seconds, until `gone(limit)` returns True.

    Raises `EmbeddedError` when the process outlives all of them or belongs to another user.
    """
    for number, limit_s in signals:
        deadline = time.monotonic() + limit_s
        children: list[int] = []
        while not gone(0):
            children += _signal(pid, number)
            # Repeated, because a Redis that is rewriting its append-only file refuses the signal and forgets it.
            if not gone(min(SIGNAL_REPEAT_S, limit_s)) and time.monotonic() > deadline:
                break
        else:
            if _all_gone(children):
                return
            break
    names = ", ".join(number.name for number, _ in signals)
    raise EmbeddedError(f"server process {pid} or its children still run after {names}: end them by hand")


def end_leftover(pid_file: Path, programs: tuple[str, ...], marker: Path, stop_signal: Signals) -> None:
    """End the server that an earlier run has left, and remove its pid file.

    It is ours if it is one of `programs` and `marker`, a path inside the data folder, is among its arguments: the
    process with that number may be another one by now.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        pid = 0

    def gone(limit_s: float) -> bool:
        return wait_until(lambda: not _is_server(command_line(pid), programs, marker), limit_s)

    if pid > 0:
        end(pid, [(stop_signal, STOP_TIMEOUT_S), (SIGKILL, KILL_TIMEOUT_S)], gone)
    # The servers refuse to start, or wait, when a stale file has the number of some other process.
    pid_file.unlink(missing_ok=True)


def _is_server(arguments: list[str], programs: tuple[str, ...], marker: Path) -> bool:
    # As one text: without /proc it is not known which spaces are part of a path.
    before, found, _ = f" {' '.join(arguments)} ".partition(f" {marker} ")
    return bool(found) and any(f"/{program} " in f"{before} " for program in programs)


def _signal(pid: int, number: Signals) -> list[int]:
    """Send a signal; returns the children that were killed with the process.

    PostgreSQL's children would live on for a moment and keep its shared memory, so a new server would refuse to start.
    """
    children: list[int] = []
    try:
        if number is SIGKILL:
            os.kill(pid, SIGSTOP)  # so that it starts no new children meanwhile
            children = _children(pid)
        for each in (*children, pid):
            with suppress(ProcessLookupError):
                os.kill(each, number)
        os.kill(pid, SIGCONT)  # a server that a test has paused must see its signal
    except ProcessLookupError:
        pass
    except PermissionError:
        raise EmbeddedError(f"server process {pid} belongs to another user: end it, then start again") from None
    return children


def _children(pid: int) -> list[int]:
    """Return the running children of a process: from /proc, or from `ps` where there is none."""
    if Path("/proc/self/task").exists():
        found: list[int] = []
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, path.read_text().split())
        return found
    _, output = try_run(["ps", "-A", "-o", "pid=,ppid="], PROBE_TIMEOUT_S)
    pairs = (line.split() for line in output.splitlines())
    return [int(child) for child, parent in pairs if parent == str(pid)]


def _all_gone(pids: list[int]) -> bool:
    return wait_until(lambda: not any(command_line(pid) for pid in pids), KILL_TIMEOUT_S)
