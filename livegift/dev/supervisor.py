"""A supervisor of child processes: one that dies is restarted, with a line that says so."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from livegift.dev.embedded.process import bound_log, dies_with_parent
from livegift.runtime.bounds import DRAIN_TIMEOUT_S, RESTART_DELAY_S
from livegift.runtime.lifeline import Lifeline

POLL_S = 0.1
KILL_TIMEOUT_S = 2.0
LAST_LINE_CHARS_MAX = 200
LAST_LINE_BYTES_MAX = 4096


@dataclass(slots=True)
class Child:
    """A process to keep running. `argv` is its command, `environ` its whole environment.

    Its output goes to the file `log`, which is kept small, or to our own output if that is None.
    """

    name: str
    argv: Sequence[str]
    environ: dict[str, str]
    fds: tuple[int, ...] = ()
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = 0.0
    restarts: int = field(default=0)

    def start(self, lifeline: Lifeline) -> None:
        """Start the process. It ends with this one: by the kernel, or by `lifeline` where the kernel can't."""
        command = [*dies_with_parent(signal.SIGKILL), *self.argv]
        with ExitStack() as stack:
            output = stack.enter_context(self.log.open("ab")) if self.log else None
            # In its own process group: Ctrl-C reaches only the supervisor, which stops its children in order.
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                env={**self.environ, **lifeline.environ},
                pass_fds=(*self.fds, lifeline.fd),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def last_words(self) -> str:
        """Return the path and the last line of the log, as the end of a sentence; empty without a log."""
        if self.log is None:
            return ""
        with self.log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LAST_LINE_BYTES_MAX, 0))
            lines = file.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"; {self.log} ends with: {last[:LAST_LINE_CHARS_MAX]}"


class Supervisor:
    """Runs child processes until it is told to stop."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Call `say` with lines for a person."""
        self._children: list[Child] = []
        self._lifeline = Lifeline()
        self._say = say
        self._signal: int | None = None

    def install_signals(self) -> None:
        """Have SIGTERM and SIGINT end `run`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signal = number

    @property
    def is_stopping(self) -> bool:
        """Return whether a signal was received."""
        return self._signal is not None

    def start(self, children: Sequence[Child]) -> None:
        """Start `children`."""
        for child in children:
            child.start(self._lifeline)
            self._children.append(child)

    def run(self, each_poll: Callable[[], None] = lambda: None) -> None:
        """Watch the children until a signal is received; `each_poll` is called ten times a second."""
        while not self.is_stopping:
            self.poll()
            each_poll()
            time.sleep(POLL_S)

    def poll(self) -> None:
        """Restart children that have died, after a short delay, and keep the logs small."""
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                status = _status(child.process.returncode)
                self._say(f"{child.name} ended with {status}, starting it again{child.last_words()}")
                child.process = None
                child.restarts += 1
                child.restart_at = now + RESTART_DELAY_S
            if child.process is None and now >= child.restart_at:
                child.start(self._lifeline)
            if child.log is not None:
                bound_log(child.log)

    def stop(self) -> None:
        """End all children: by SIGTERM, and by SIGKILL after the drain time."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + DRAIN_TIMEOUT_S + KILL_TIMEOUT_S
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _status(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def child_environ(**variables: str) -> dict[str, str]:
    """Return this process's environment with `variables` on top."""
    return {**os.environ, **variables}
