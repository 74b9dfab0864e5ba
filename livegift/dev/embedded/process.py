"""The common parts of both servers: finding a binary, starting it so that it ends with us, and ending it reliably."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from threading import Thread
from types import TracebackType
from typing import ClassVar, Literal, Self, TypeVar

from livegift.contract.errors import LivegiftError

HOST = "127.0.0.1"
READY_POLL_S = 0.02
START_TIMEOUT_S = 60.0  # includes loading the append-only file and crash recovery
STOP_TIMEOUT_S = 20.0
QUIT_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
SIGNAL_REPEAT_S = 0.25
PROBE_TIMEOUT_S = 10.0  # `--version` and the like
PORT_ATTEMPTS_MAX = 5
PORT_MAX = 65_535
LOG_BYTES_MAX = 16 * 1024 * 1024  # a longer log is rotated, and one generation is kept
LOG_TAIL_LINES = 15

Source = Literal["path", "wheel"]
Version = tuple[int, ...]


class EmbeddedError(LivegiftError):
    """A private server can't be started or ended. The message says what was expected, what came and what to do."""


class PortTakenError(EmbeddedError):
    """Another process listens on the port."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a binary may be. `binary` is None when there is none."""

    source: Source | Literal["system"]
    place: str
    binary: Path | None


def try_run(command: Sequence[str | Path], timeout_s: float) -> tuple[bool, str]:
    """Run a command to its end; returns whether it succeeded and its output. A program that fails raises nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - binaries found by us, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for us: we finish the step, then stop
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, done.stdout.decode(errors="replace").strip()


@cache
def version_of(binary: Path) -> Version:
    """Return the version that `binary --version` prints; `()` when it does not run or prints none."""
    _, output = try_run([binary, "--version"], PROBE_TIMEOUT_S)
    match = re.search(r"(?:v=|\) )(\d+(?:\.\d+)*)", output)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def choose(
    candidates: Iterable[Candidate], fits: Callable[[Version], bool], prefer: Source | None
) -> tuple[Path | None, str]:
    """Return the first candidate whose version fits, and a line on all candidates (when there is none).

    With `prefer`, only candidates of that source are considered.
    """
    seen = []
    for candidate in candidates:
        if prefer is not None and candidate.source != prefer:
            continue
        if candidate.binary is None:
            seen.append(f"{candidate.place}: none")
            continue
        version = version_of(candidate.binary)
        if fits(version):
            return candidate.binary, ""
        seen.append(f"{candidate.place}: {'.'.join(map(str, version)) or 'does not run'} ({candidate.binary})")
    return None, "; ".join(seen) or "nothing"


def on_path(name: str) -> Path | None:
    """Return the path of `name` on PATH, with symbolic links resolved."""
    found = shutil.which(name)
    return Path(found).resolve() if found else None


def write_private(path: Path, text: str) -> None:
    """Write `text` with mode 0600, completely or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def bound_log(log: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Rotate a log that has grown beyond `bytes_max` to `<name>.1`, which replaces an earlier one.

    Processes that append to it need not reopen it. Lines written meanwhile may be lost.
    """
    if log.exists() and log.stat().st_size > bytes_max:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)


def password_in(path: Path) -> str:
    """Return the password kept in `path`; the first call creates a random one."""
    if not path.exists():
        write_private(path, secrets.token_hex(24))
    return path.read_text().strip()


def free_ports(count: int) -> list[int]:
    """Return different ports that were free a moment ago. Another process may take one before the caller does."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def require_free(port: int) -> None:
    """Raise `PortTakenError` when `port` is in use, `EmbeddedError` when it can't be used at all."""
    if not 0 < port <= PORT_MAX:
        raise EmbeddedError(f"expected a port from 1 to {PORT_MAX}, got {port}")
    try:
        # create_server sets SO_REUSEADDR, as the servers do, so connections in TIME_WAIT do not matter.
        socket.create_server((HOST, port)).close()
    except OSError as error:
        kind = PortTakenError if "in use" in str(error) else EmbeddedError
        raise kind(
            f"port {port} on {HOST} is not free ({error.strerror}): stop what listens there, or choose another port"
        ) from None


S = TypeVar("S", bound="Server")


def start_on_port(port: int | None, start: Callable[[int], S]) -> S:
    """Call `start` with `port`, or with free ports until one is still free when the server takes it."""
    attempts = 0
    while True:
        number = free_ports(1)[0] if port is None else port
        try:
            require_free(number)
            return start(number)
        except PortTakenError:
            attempts += 1
            if port is not None or attempts == PORT_ATTEMPTS_MAX:
                raise


def wait_until(predicate: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `predicate` holds. Returns False when it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            return False
        time.sleep(READY_POLL_S)
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


class Server:
    """A server started by this process.

    It ends when this process ends, in any way (Linux with `setpriv`; elsewhere the next start on its folder ends it).
    As a context manager, it is stopped at the end.
    """

    stop_signals: ClassVar[tuple[tuple[Signals, float], ...]] = ()

    def __init__(self, command: Sequence[str | Path], *, url: str, port: int, data_dir: Path, log: Path) -> None:
        self.url = url  # including the password
        self.port = port
        self.data_dir = data_dir
        self.log = log
        bound_log(log)
        self._log_start_bytes = log.stat().st_size if log.exists() else 0
        self._command = [*dies_with_parent(self.stop_signals[0][0]), *command]
        # The kernel sends the parent's death signal when the forking *thread* ends, so this thread stays and waits.
        started: Future[subprocess.Popen[bytes]] = Future()
        self._thread = Thread(target=self._run, args=(started,), name=f"embedded-{port}", daemon=True)
        self._thread.start()
        try:
            self._process = started.result()
        except OSError as error:
            raise EmbeddedError(f"cannot start {command[0]}: {error}") from error
        self.pid = self._process.pid

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pid={self.pid}, port={self.port}, data_dir={str(self.data_dir)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def poll(self) -> int | None:
        """Return the exit code (negative: minus the signal), or None while it runs."""
        code: int | None = self._process.returncode
        return code

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it in order, or by force after `timeout_s`. No process is left. Does nothing when it has ended."""
        first, *others = self.stop_signals
        end(self.pid, [(first[0], timeout_s), *others], self._gone)

    def kill(self) -> None:
        """End it and its children by SIGKILL, as a crash would. Returns when they are gone."""
        end(self.pid, [(SIGKILL, KILL_TIMEOUT_S)], self._gone)

    def wait_ready(self, probe: Callable[[], str | None]) -> None:
        """Call `probe` until it returns None; a string says why it is not ready yet. On failure the server is killed.

        Raises `EmbeddedError` with the log's last lines when the server dies or is not ready after `START_TIMEOUT_S`,
        and `PortTakenError` when another process has taken the port.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while (reason := probe()) is not None:
                self._require_hope(reason, deadline)
                self._thread.join(READY_POLL_S)
        except BaseException:
            self.kill()
            raise

    def log_tail(self) -> str:
        """Return the last lines logged since this start."""
        with self.log.open("rb") as file:
            file.seek(self._log_start_bytes)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join([f"last lines of {self.log}:", *lines[-LOG_TAIL_LINES:]])

    def _require_hope(self, reason: str, deadline: float) -> None:
        if self.poll() is None and time.monotonic() <= deadline:
            return
        tail = self.log_tail()
        if self.poll() is None:
            raise EmbeddedError(f"{self!r} is not ready after {START_TIMEOUT_S} s: {reason}\n{tail}")
        if "Address already in use" in tail:
            raise PortTakenError(f"port {self.port} was taken while the server started: choose another port\n{tail}")
        raise EmbeddedError(f"{self!r} ended with code {self.poll()} while it started\n{tail}")

    def _gone(self, limit_s: float) -> bool:
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _run(self, started: "Future[subprocess.Popen[bytes]]") -> None:
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - binaries found by us, no shell
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    cwd=self.data_dir,
                    start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the servers in order
                )
        except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()


@cache
def dies_with_parent(number: Signals) -> list[str]:
    """Return a command prefix that has the kernel send `number` when the forking thread ends; empty where unsupported.

    It comes after any change of user, which would clear the setting. `preexec_fn` is not safe with threads.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    prefix = [setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--"]
    return prefix if try_run([*prefix, setpriv, "--version"], PROBE_TIMEOUT_S)[0] else []


def _environment() -> dict[str, str]:
    """Return our environment without PostgreSQL's variables, and with English messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


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
