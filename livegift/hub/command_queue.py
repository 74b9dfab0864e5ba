"""A connection's commands, in order: executed at once if they need not wait, otherwise one after another."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from livegift.runtime.bounds import COMMANDS_WAITING_PER_CONNECTION_MAX

log = structlog.get_logger()

Work = Coroutine[Any, Any, None]


class CommandQueue:
    """A queue that runs commands in the order they arrive; reading pauses while too many wait."""

    __slots__ = ("_handle", "_hold", "_is_held", "_task", "_waiting")

    def __init__(self, handle: Callable[[str], Work | None], hold: Callable[[bool], None]) -> None:
        """Run commands by `handle`, which returns what it could not do at once; `hold` pauses or resumes reading."""
        self._handle = handle
        self._hold = hold
        self._waiting: deque[str] | None = None  # while there is a task
        self._task: asyncio.Task[None] | None = None
        self._is_held = False

    def put(self, text: str) -> None:
        """Handle `text` after all earlier commands."""
        if self._waiting is not None:
            self._waiting.append(text)
            if len(self._waiting) >= COMMANDS_WAITING_PER_CONNECTION_MAX and not self._is_held:
                self._is_held = True
                self._hold(True)
            return
        work = self._handle(text)
        if work is not None:
            self.begin(work)

    def begin(self, work: Work) -> None:
        """Do `work` before all later commands."""
        self._waiting = deque()
        self._task = asyncio.create_task(self._run(work), name="command")

    async def _run(self, work: Work | None) -> None:
        waiting = self._waiting
        assert waiting is not None  # noqa: S101 - `begin` has made it
        try:
            while work is not None or waiting:
                if work is not None:
                    await work
                work = self._handle(waiting.popleft()) if waiting else None
                if self._is_held and not waiting:
                    self._is_held = False
                    self._hold(False)
        except Exception:
            # Nothing is raised on purpose; an unexpected error must not cost the commands after it.
            log.exception("connection.command_failed")
        finally:
            self._waiting = self._task = None
        if waiting:
            for text in waiting:
                self.put(text)

    def close(self) -> None:
        """Drop the remaining commands, and end the one that is being done."""
        self._waiting = deque()
        if self._task is not None:
            self._task.cancel()
