"""Stand-ins for what uvicorn's own `receive` and `send` wait for, once a connection goes the direct way."""

import asyncio

from uvicorn._types import ASGIReceiveEvent


class Mailbox:
    """The part of an `asyncio.Queue` that an idle connection needs, without its four deques of 700 bytes."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[ASGIReceiveEvent] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._messages

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        """Add a message."""
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        """Return the oldest message, when there is one."""
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._messages.pop(0)


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
