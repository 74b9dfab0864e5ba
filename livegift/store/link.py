"""One connection to a Redis node: commands and their replies many at a time, each exchange with a deadline."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime.bounds import REDIS_CONNECT_TIMEOUT_S

Command = tuple[str | bytes | int, ...]
MESSAGES_AT_ONCE_MAX = 1_000


def plain(error: BaseException) -> str:
    """Return an error's message, or its class for one without (asyncio's time-outs)."""
    return str(error) or type(error).__name__


def _packed(commands: Sequence[Command]) -> list[bytes]:
    return [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub expects one element


class Link:
    """A connection to one node, for one task. After an error it is closed; its owner opens another."""

    def __init__(self, connection: Connection) -> None:
        """Wrap a connection that is not open yet and has no time-outs of its own for reading and writing."""
        self._connection = connection
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the link is connected, as far as this side knows."""
        return bool(self._connection.is_connected)

    async def is_ready(self) -> bool:
        """Return whether an exchange can begin: the peer is still there and has sent nothing unexpected.

        Otherwise close the link; nothing was sent on it then.
        """
        if self._writer is None or not self.is_open:
            return False
        if not (self._writer.is_closing() or await self._connection.can_read()):
            return True
        await self.close()
        return False

    async def open(self) -> Self:
        """Connect. Raises StoreUnavailableError (`executed=False`)."""
        try:
            async with asyncio.timeout(REDIS_CONNECT_TIMEOUT_S):
                await self._connection.connect()
                self._writer = self._connection._writer  # noqa: SLF001 - redis-py has no public way to it
        except (RedisError, OSError) as error:
            await self.close()
            raise StoreUnavailableError(f"Redis can't be reached: {plain(error)}", executed=False) from error
        except BaseException:
            await self.close()
            raise
        return self

    async def exchange(self, commands: Sequence[Command], deadline_s: float) -> list[Any]:
        """Send `commands` in one write and return a reply for each; a refused command's reply is a ResponseError.

        Raises StoreUnavailableError: `executed` is False when nothing was sent, else None (unknown).
        """
        # hiredis' packer: redis-py's own took a sixth of a web process under load.
        packed = b"".join(_packed(commands))
        if not await self.is_ready():
            raise StoreUnavailableError("the connection to Redis is closed", executed=False)
        try:
            async with asyncio.timeout(deadline_s):
                await self._connection.send_packed_command(packed, check_health=False)
                replies: list[Any] = []
                while len(replies) < len(commands):
                    replies.append(await self._read())
                    replies += self._already_here(len(commands) - len(replies))
                return replies
        except (RedisError, OSError) as error:
            await self.close()
            raise StoreUnavailableError(f"no reply from Redis within {deadline_s:g} s: {plain(error)}") from error
        except BaseException:
            await self.close()  # replies are still under way: the connection can't be reused
            raise

    async def send(self, commands: Sequence[Command]) -> None:
        """Send `commands` without reading replies (for subscriptions). Raises StoreUnavailableError."""
        packed = b"".join(_packed(commands))
        if not self.is_open:
            raise StoreUnavailableError("the connection to Redis is closed", executed=False)
        try:
            # It waits only while the peer takes nothing: then the peer is as good as gone.
            async with asyncio.timeout(REDIS_CONNECT_TIMEOUT_S):
                await self._connection.send_packed_command(packed, check_health=False)
        except (RedisError, OSError) as error:
            await self.close()
            raise StoreUnavailableError(f"Redis did not take the commands: {plain(error)}") from error

    async def read(self) -> list[Any]:
        """Wait, without a deadline, for messages of a subscribed connection. Raises StoreUnavailableError.

        Returns the next one and what has come with it, up to a thousand. The caller notices a dead connection by its
        silence and closes the link; then this raises.
        """
        try:
            return [await self._read(), *self._already_here(MESSAGES_AT_ONCE_MAX)]
        except (RedisError, OSError) as error:
            await self.close()
            raise StoreUnavailableError(f"the connection to Redis is gone: {plain(error)}") from error

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except ResponseError as error:
            return error

    def _already_here(self, most: int) -> list[Any]:
        """Return replies that have come with the last one: asking redis-py for each would cost more than Redis does."""
        reader = self._connection._parser._reader  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
        found: list[Any] = []
        while len(found) < most and (reply := reader.gets()) is not NOT_ENOUGH_DATA:
            if isinstance(reply, RedisConnectionError):  # as when Redis is still loading its data
                raise reply
            found.append(reply)
        return found

    async def close(self) -> None:
        """Close at once, whatever is in progress."""
        if self._writer is not None:
            # A plain close would keep unsent data until a stalled node takes it, and a reader would wait as long.
            self._writer.transport.abort()
        await self._connection.disconnect(nowait=True)
