"""Stand-ins for the objects that uvicorn's own `receive` and `send` wait for, for connections on the direct path."""

import asyncio
from collections.abc import Callable

from uvicorn._types import ASGIReceiveEvent


class EndNotice:
    """The part of an `asyncio.Queue` that a connection with a listener needs: its end is put in, and nothing taken."""

    __slots__ = ("_on_end",)

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end: Callable[[], None] | None = on_end

    def empty(self) -> bool:
        """Return whether the queue is empty, which it is."""
        return True

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        """Call `on_end` in the next turn of the loop, the first time that the end is put in."""
        if self._on_end is not None and event["type"] == "websocket.disconnect":
            asyncio.get_running_loop().call_soon(self._on_end)
            self._on_end = None

    async def get(self) -> ASGIReceiveEvent:
        """Return the event with which an application begins: the client wants to connect."""
        return {"type": "websocket.connect"}


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
