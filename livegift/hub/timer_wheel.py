"""Deadlines of many connections for the price of one timer: a coarse timer wheel, shared by all of them."""

import asyncio
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

Action = Callable[[], None]


class Deadline:
    """An action to be run at some time, unless it is cancelled before."""

    __slots__ = ("_action",)

    def __init__(self, action: Action) -> None:
        """Created by `TimerWheel.after`."""
        self._action: Action | None = action

    def cancel(self) -> None:
        """Cancel the action; harmless when it has run."""
        self._action = None

    def run(self) -> None:
        """Run the action, once."""
        action, self._action = self._action, None
        if action is not None:
            action()


class TimerWheel:
    """A timer wheel that runs deadlines between their time and one tick later.

    Each costs an object and a list entry.
    """

    def __init__(self, tick_s: float) -> None:
        """Create a wheel, which turns while `run` does."""
        self._tick_s = tick_s
        self._slots: dict[int, list[Deadline]] = {}
        self._turned = int(time.monotonic() / tick_s)

    def after(self, after_s: float, action: Action) -> Deadline:
        """Call `action` in `after_s` seconds."""
        slot = int((time.monotonic() + after_s) / self._tick_s) + 1
        if slot <= self._turned:
            slot = self._turned + 1
        deadline = Deadline(action)
        found = self._slots.get(slot)
        if found is None:
            self._slots[slot] = [deadline]
        else:
            found.append(deadline)
        return deadline

    async def run(self) -> None:
        """Turn until cancelled."""
        while True:
            await asyncio.sleep(self._tick_s)
            self.turn(int(time.monotonic() / self._tick_s))

    def turn(self, upto: int) -> None:
        """Run everything up to that tick."""
        # After a long stall, going through the existing slots costs less than all ticks in between.
        due = sorted(slot for slot in self._slots if slot <= upto) if upto - self._turned > 1 else [upto]
        self._turned = max(self._turned, upto)
        for slot in due:
            for deadline in self._slots.pop(slot, ()):
                try:
                    deadline.run()
                except Exception:  # one connection's error must not stop all other deadlines
                    log.exception("timer_wheel.action_failed")
