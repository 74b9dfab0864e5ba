"""A web process with few descriptors: it refuses new connections and keeps the old."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from livegift.limits import FILES_RESERVED, SOCKETS_FOR_HTTP_SHARE
from livegift.settings import Settings
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

FILES = 240
SOCKETS = max(FILES - FILES_RESERVED, FILES // 2)
WEBSOCKETS = int(SOCKETS * (1 - SOCKETS_FOR_HTTP_SHARE))


async def test_new_ones_are_refused_and_old_ones_stay(settings: Settings, tmp_path: Path) -> None:
    with System(settings, tmp_path / "logs") as system:
        system.files_max = FILES
        system.start()
        system.open_room("r1", "bob")
        await system.grant({"ann": 100})
        host, port = system.address().split(":")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.sleep, 0)  # the last: aborted ones close in the next turn of the loop
            ann = await stack.enter_async_context(Viewer(system.address(), system.token("ann")))
            # As many as the process may have, and as many again, that say nothing.
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(2 * SOCKETS)]
            for _, writer in silent:
                stack.callback(writer.transport.abort)
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
            await wait_until(lambda: "room for another" in system.log("web 1"), "the oldest make room")
            # They take nobody's place who says something.
            for _ in range(WEBSOCKETS - 1):
                await stack.enter_async_context(connect(f"ws://{system.address()}/v1/ws", open_timeout=60))
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{system.address()}/v1/ws")
            assert refused.value.response.status_code == 503
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
            assert (await asyncio.to_thread(system.http, "GET", "/v1/gifts"))[0] == 200
            assert ann.close_code is None
        log = system.log("web 1")
        assert "Traceback" not in log
        assert "connection.refused" in log
        assert "web.few_descriptors" in log
        assert system.processes["web 1"].poll() is None
