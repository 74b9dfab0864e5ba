"""What a connection that sends all it can costs everybody else: another viewer's gifts, CPU and memory."""

import asyncio
import time
from subprocess import PIPE
from typing import Any

from loadtests.clients.flood import KINDS
from loadtests.clients.websocket import WebSocketClient, connect
from loadtests.harness import processes
from loadtests.harness.measure import cpu_s, memory_kib, percentiles
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

QUIET = "quiet"
PACE_S = 0.05
ROOM, CREATOR, USER = "flooded", "creator", "viewer"
Run = dict[str, Any]


def floods(seconds: float) -> Result:
    """Run one kind after the other, each for `seconds`, with the default limits."""
    with Stack(commands_per_s_max=50) as stack:
        for name in ("aggregator", "relay", "web"):
            stack.start(name)
        stack.wait_ready()
        stack.open_room(ROOM, CREATOR)
        stack.wait_until(lambda: all(s.armed_epoch for s in stack.partition_states().values()), "partitions are armed")
        stack.grant({USER: 10_000_000})
        pid = stack.pid("web")
        runs = [_beside(stack, pid, kind, seconds) for kind in (QUIET, *KINDS)]
    rows = []
    for run in runs:
        kind, late = run["kind"], run["result_ms"]
        rows += [
            Row(f"{kind}: gift.result, median", late["p50"], "ms", note=f"{run['gifts']} gifts; {run['flood']}"),
            Row(f"{kind}: gift.result, worst", late["max"], "ms"),
            Row(f"{kind}: CPU of the web process", run["cpu_share"] * 100, "% of a core"),
            Row(f"{kind}: memory after", run["rss_mib"], "MiB"),
        ]
    return Result(rows, {"seconds": seconds, "bytes_per_s": 900_000, "gifts_per_s": 1 / PACE_S}, runs)


def _beside(stack: Stack, pid: int, kind: str, seconds: float) -> Run:
    used, began = cpu_s(pid), time.monotonic()
    flood: Any = None
    if kind != QUIET:
        argv = ["-m", "loadtests.clients.flood", stack.address, kind, str(seconds)]
        process = processes.start(argv, stack.environ(), stdout=PIPE)
        with processes.running(process):
            late = asyncio.run(_gifts(stack, kind, seconds))
            flood = process.communicate()[0].decode().strip()
    else:
        late = asyncio.run(_gifts(stack, kind, seconds))
    return {
        "kind": kind,
        "gifts": len(late),
        "result_ms": percentiles(late),
        "cpu_share": (cpu_s(pid) - used) / (time.monotonic() - began),
        "rss_mib": memory_kib(pid)["rss"] / 1024,
        "flood": flood,
    }


async def _gifts(stack: Stack, kind: str, seconds: float) -> list[float]:
    viewer = await connect(stack.address, WebSocketClient)
    await viewer.ask("welcome", type="hello", token=stack.tokens.sign(USER, age_verified=True))
    late, until = [], time.monotonic() + seconds
    while (sent := time.monotonic()) < until:
        await viewer.ask("gift.result", type="gift.send", ref=f"{kind[:4].strip()}-{sent}", room=ROOM, gift_id="rose")
        late.append((time.monotonic() - sent) * 1000)
        await asyncio.sleep(PACE_S)
    await viewer.close()
    return late
