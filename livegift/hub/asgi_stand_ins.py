"""Stand-ins for the objects that uvicorn's own `receive` and `send` wait for, for connections on the direct path."""

import asyncio

from uvicorn._types import ASGIReceiveEvent


class ReceiveQueue:
    """The part of an `asyncio.Queue` that an idle connection needs, without its four deques of 700 bytes."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[ASGIReceiveEvent] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Return whether the queue is empty."""
        return not self._events

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        """Add an event."""
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        """Return the oldest event, waiting for one if necessary."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._events.pop(0)


class NoFlowControl:
    """A stand-in for the event that uvicorn's own `send` waits for, which is not used any more."""

    __slots__ = ()

    def set(self) -> None:
        """Do nothing: writing may continue."""

    def clear(self) -> None:
        """Do nothing: writing would wait."""

    async def wait(self) -> bool:
        """Return at once."""
        return True
