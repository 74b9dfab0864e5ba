"""Ending a process together with its parent, on systems whose kernel can't do that.

The parent holds one end of a pipe and never writes; its children inherit the other end. However the parent dies, the
children read the end of the file. Where there is a way through the kernel, `dies_with_parent` of
`livegift.dev.embedded.process` uses it.
"""

import os
import signal
from collections.abc import Callable
from threading import Thread

VARIABLE = "LIVEGIFT_LIFELINE_FD"


class Lifeline:
    """The parent's end of the pipe: children that watch it die with this process."""

    def __init__(self) -> None:
        """Create the pipe. The children have to inherit `fd`, together with `environ`."""
        self.fd, self._ours = os.pipe()

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment variable that names the children's end of the pipe."""
        return {VARIABLE: str(self.fd)}


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel would do it


def hold(end: Callable[[], None] = _end) -> None:
    """Call `end` when the parent that gave us a lifeline dies; do nothing without one."""
    fd = os.environ.pop(VARIABLE, "")  # our own children watch us
    if fd.isdecimal():
        Thread(target=_watch, args=(int(fd), end), name="lifeline", daemon=True).start()


def _watch(fd: int, end: Callable[[], None]) -> None:
    try:
        os.set_inheritable(fd, False)
        while os.read(fd, 1):
            continue
    except OSError:
        return  # a stale variable: nobody gave us a pipe
    end()
