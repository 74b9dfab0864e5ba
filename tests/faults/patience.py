"""Time-outs of the harness, on a machine that has other work too.

A wait that is over shows that the system was not in time, never that something is wrong: on a machine that is short of
CPU, that may be the machine's doing. So time in which tasks have waited for a CPU (Linux reports it as "pressure")
counts less, up to a limit, and what was late is reported apart from what is wrong.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
LONGER_MAX = 4.0  # times the wait on an idle machine


class NotInTimeError(Exception):
    """A wait that has timed out. The message says for what, and how short of CPU the machine was."""


def starved_s() -> float:
    """Return the seconds since boot in which some task has waited for a CPU; 0 where they are not counted."""
    try:
        some = PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6


class Patience:
    """A deadline: over after `calm_s` in which the machine had CPUs to spare, or after `LONGER_MAX` times that."""

    def __init__(self, calm_s: float) -> None:
        self._calm_s = calm_s
        self._began, self._starved = time.monotonic(), starved_s()

    @property
    def waited_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def share(self) -> float:
        """Return the share of the time since the start in which the machine was short of CPU."""
        return min((starved_s() - self._starved) / max(self.waited_s, 0.001), 1.0)

    @property
    def is_over(self) -> bool:
        calm_s = self.waited_s * (1 - self.share)
        return calm_s > self._calm_s or self.waited_s > self._calm_s * LONGER_MAX

    def __str__(self) -> str:
        return f"after {self.waited_s:.0f} s, {self.share:.0%} of them short of CPU"


async def wait_patiently(predicate: Callable[[], object | Awaitable[object]], what: str, calm_s: float) -> object:
    """Return the first truthy value of `predicate`. Raises NotInTimeError."""
    patience = Patience(calm_s)
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if patience.is_over:
            raise NotInTimeError(f"{patience} still not: {what} (last: {value!r})")
        await asyncio.sleep(0.02)
