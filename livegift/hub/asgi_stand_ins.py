"""Stand-ins for what uvicorn's own `receive` and `send` wait for, once a connection goes the direct way."""

import asyncio

from uvicorn._types import ASGIReceiveEvent


class ReceiveQueue:
    """The part of an `asyncio.Queue` that an idle connection needs, without its four deques of 700 bytes."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[ASGIReceiveEvent] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._events

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        """Add an event."""
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        """Return the oldest event, when there is one."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._events.pop(0)


class NoFlowControl:
    """A stand-in for the event that uvicorn's own `send` waits for, which is no longer used."""

    __slots__ = ()

    def set(self) -> None:
        """Writing goes on."""

    def clear(self) -> None:
        """Writing waits."""

    async def wait(self) -> bool:
        """Wait for nothing."""
        return True
