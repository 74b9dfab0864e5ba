"""A private server as a process: its port and its files, started so that it ends with this process."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from signal import SIGKILL, Signals
from threading import Thread
from types import TracebackType
from typing import ClassVar, Self, TypeVar

from livegift.dev.embedded.binaries import PROBE_TIMEOUT_S, environment, try_run
from livegift.dev.embedded.errors import EmbeddedError, PortTakenError
from livegift.dev.embedded.termination import KILL_TIMEOUT_S, STOP_TIMEOUT_S, end

HOST = "127.0.0.1"
READY_POLL_S = 0.02
START_TIMEOUT_S = 60.0  # includes loading the append-only file and crash recovery
PORT_ATTEMPTS_MAX = 5
PORT_MAX = 65_535
LOG_BYTES_MAX = 16 * 1024 * 1024  # a longer log is rotated, and one generation is kept
LOG_TAIL_LINES = 15


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
                    env=environment(),
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
