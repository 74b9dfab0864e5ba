"""A web process with few descriptors, or none: it refuses new connections and keeps the old."""

import asyncio
import os
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from livegift.runtime.bounds import FILES_RESERVED, SOCKETS_FOR_HTTP_SHARE
from livegift.runtime.settings import Settings
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
        # Once they have left there is room again.
        async with Viewer(system.address(), system.token("ann")) as ann:
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
        log = system.log("web 1")
        assert "Traceback" not in log
        assert "connection.refused" in log
        assert "web.few_descriptors" in log
        assert system.processes["web 1"].poll() is None


# --- None left, whatever was reckoned with ----------------------------------------------------------------------------

NEW_ONES = 400
WINDOW_S = 2.0
# A loop that spins has a core, or its share of a busy machine's; one that waits needs a hundredth of one.
SPINNING_S = 0.1


def first_free(pid: int) -> int:
    """The number that the process' next descriptor would get."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(n for n in range(len(taken) + 1) if n not in taken)


async def cpu_of_a_while(pid: int) -> float:
    """Seconds of CPU that the process uses in WINDOW_S."""

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, until = used_s(), time.monotonic() + WINDOW_S
    await wait_until(lambda: time.monotonic() > until, "the window's end")
    return used_s() - before


async def turned_away(system: System) -> bytes:
    """Connect and ask; what was answered before the end."""
    host, port = system.address().split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read(-1)
        writer.close()
    except ConnectionError:
        return b""
    return answer


async def test_without_a_descriptor_nothing_spins_and_old_ones_are_served(settings: Settings, tmp_path: Path) -> None:
    """`accept` fails with EMFILE: the limit is lowered to what the process has open already."""
    with System(settings, tmp_path / "logs") as system:
        system.start()
        system.open_room("r1", "bob")
        await system.grant({"ann": 100})
        pid = system.processes["web 1"].pid
        async with Viewer(system.address(), system.token("ann")) as ann:
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
            quiet_s = await cpu_of_a_while(pid)
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free(pid), limits[1]))
            answers = await asyncio.gather(*(turned_away(system) for _ in range(NEW_ONES)))
            assert set(answers) == {b""}
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
            waiting = [asyncio.create_task(turned_away(system)) for _ in range(10)]
            assert await cpu_of_a_while(pid) < quiet_s + SPINNING_S
            assert (await ann.gift("r1", "rose"))["status"] == "accepted"
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            await asyncio.gather(*waiting)
            await wait_until(lambda: system.http("GET", "/healthz")[0] == 200, "new ones are served again")
            async with Viewer(system.address(), system.token("ann")) as again:
                assert (await again.gift("r1", "rose"))["status"] == "accepted"
        assert "Traceback" not in system.log("web 1"), system.log("web 1")
        assert system.processes["web 1"].poll() is None
