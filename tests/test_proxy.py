"""The proxy of the tests leaves nothing open, whenever it is told to refuse: a warning would fail some other test."""

import asyncio
import gc
import warnings
from contextlib import suppress

from tests.proxy import HOST, Proxy


async def _connect(port: int) -> None:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.transport.abort()


async def test_connections_that_arrive_as_it_refuses_are_closed() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        for turn in range(200):
            arriving = [asyncio.create_task(_connect(proxy.port)) for _ in range(5)]
            for _ in range(turn % 8):
                await asyncio.sleep(0)
            proxy.refuse()
            await asyncio.gather(*arriving)
            await proxy.accept()
        assert proxy.accepted
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in found] == []
