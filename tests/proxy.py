"""A TCP proxy that does to connections what networks and dying servers do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
MARKER_BYTES_MAX = 1024
BACKLOG = 100


class Proxy:
    """Stands before a server: `async with Proxy(server.port) as proxy`, then connect to `proxy.url(server.url)`.

    It forwards until told otherwise. What it is told holds for open connections and for those to come:

    - `stall()`: nothing moves, in both directions or one, and nobody is told. `resume()`: what was held goes on.
    - `delay(s)`: every piece of data takes so much longer, in each direction.
    - `cut()`: all connections end at once, with a reset.
    - `refuse()`: that, and nobody can connect any more. `accept()`: they can again, at the same port.
    - `cut_reply(after, bytes_max)`: once. The server gets the next request that contains `after` and acts on it; so
      many bytes of its reply arrive, then that connection is cut. The reply is lost, the effect is not.

    It lives in the test's own event loop: a test that blocks (`System.wait_ready`, `subprocess`) does so in a thread.
    """

    def __init__(self, port: int, host: str = HOST) -> None:
        """Where the server is."""
        self._server = (host, port)
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._is_listening = False
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._arriving: set[asyncio.Task[None]] = set()  # accepted, and not connected to the server yet
        self.may_reach_server = _open_gate()
        self.may_reach_client = _open_gate()
        self.delay_s = 0.0
        self.cut_after: bytes | None = None
        self.cut_bytes_max = 0
        self.accepted = 0  # connections so far
        self.replies_cut = 0

    def url(self, url: str) -> str:
        """The server's `url`, through this proxy."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}{at}{HOST}:{self.port}").geturl()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    # --- Faults -------------------------------------------------------------------------------------------------------

    def stall(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Hold everything, or one direction."""
        if to_server:
            self.may_reach_server.clear()
        if to_client:
            self.may_reach_client.clear()

    def resume(self) -> None:
        """Undo `stall`."""
        self.may_reach_server.set()
        self.may_reach_client.set()

    def delay(self, seconds: float) -> None:
        """Make each piece of data take so much longer; 0 undoes it."""
        self.delay_s = seconds

    def cut(self) -> None:
        """End what is open."""
        for pair, task in self._pairs.items():
            pair.abort()
            task.cancel()

    def refuse(self) -> None:
        """Be a server that is gone."""
        if self._is_listening:
            self._is_listening = False
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = _bound(self.port)  # not listening: connections are refused, and the port stays ours
        self.cut()

    async def accept(self) -> None:
        """Undo `refuse`."""
        if not self._is_listening:
            self._is_listening = True
            self._socket.listen(BACKLOG)
            # Not asyncio.Server: what that accepts at the moment of its `close` nobody closes (`_attach` fails).
            asyncio.get_running_loop().add_reader(self._socket, self._on_connection)

    def cut_reply(self, *, after: bytes = b"", bytes_max: int = 0) -> None:
        """Lose the reply to the next request that contains `after`, but for its first bytes."""
        self.cut_after, self.cut_bytes_max = after, bytes_max

    # --- Connections --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self._socket.close()
        await asyncio.gather(*self._arriving, *self._pairs.values(), return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed

    def _on_connection(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return  # it is gone already
        accepted.setblocking(False)
        task = asyncio.create_task(self._connect(accepted), name="proxy arrival")
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        self.accepted += 1
        try:
            reader, writer = await asyncio.open_connection(sock=accepted)
        except BaseException:
            accepted.close()
            raise
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._server)
        except BaseException as error:
            writer.transport.abort()  # also when the test ends just now
            if isinstance(error, OSError):
                return
            raise
        pair = _Pair(self, reader, writer, server_reader, server_writer)
        if not self._is_listening:  # refused meanwhile
            pair.abort()
            return
        task = self._pairs[pair] = asyncio.create_task(pair.run(), name="proxy connection")
        task.add_done_callback(lambda _: self._pairs.pop(pair))


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = client_reader, client_writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._last_bytes = b""
        self._reply_bytes_left: int | None = None  # None: no limit

    def abort(self) -> None:
        self._client_writer.transport.abort()
        self._server_writer.transport.abort()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward_requests())
                group.create_task(self._forward_replies())
        except* OSError:
            self.abort()
        finally:
            self._client_writer.close()
            self._server_writer.close()

    async def _pieces(self, reader: asyncio.StreamReader, gate: asyncio.Event) -> AsyncIterator[bytes]:
        while data := await reader.read(CHUNK_BYTES):
            if self._proxy.delay_s:
                await asyncio.sleep(self._proxy.delay_s)
            await gate.wait()
            yield data

    async def _forward_requests(self) -> None:
        async for data in self._pieces(self._client_reader, self._proxy.may_reach_server):
            wanted = self._proxy.cut_after
            self._last_bytes += data
            if wanted is not None and wanted in self._last_bytes:
                self._proxy.cut_after, self._reply_bytes_left = None, self._proxy.cut_bytes_max
            self._last_bytes = self._last_bytes[-MARKER_BYTES_MAX:]
            self._server_writer.write(data)
            await self._server_writer.drain()
        self._server_writer.write_eof()

    async def _forward_replies(self) -> None:
        async for data in self._pieces(self._server_reader, self._proxy.may_reach_client):
            left = self._reply_bytes_left
            self._client_writer.write(data if left is None else data[:left])
            if left is not None and len(data) >= left:
                self._proxy.replies_cut += 1
                self._client_writer.close()  # what was written still arrives
                raise ConnectionAbortedError("the rest of the reply is lost")
            self._reply_bytes_left = None if left is None else left - len(data)
            await self._client_writer.drain()
        self._client_writer.write_eof()


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.setblocking(False)
    return sock


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate
