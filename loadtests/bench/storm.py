"""A thousand viewers who come back to one room at once: how long until the last sees it again, and what that costs.

livegift's viewers say where they have stopped and get what they have missed; the peers' join their room again, which is
what they offer. Every viewer connects at the same moment; each server has the admission limits of its defaults lifted.
"""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, ROOM, start_with_peers
from loadtests.harness.measure import cpu_s, percentiles, pin, two_cores
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack
from loadtests.peers.servers import Server

PUBLISHED = 500
PUBLISH_TIMEOUT_S = 60.0
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Storm:
    """How many come back, to how much, and how often."""

    rounds: int = number(2, short=1, about="repetitions, each server in turn")
    viewers: int = number(1_000, short=50, about="viewers who come back at once")
    missed: int = number(100, short=100, about="events that they have missed")


def storm(options: Storm) -> Result:
    """Measure each server in turn."""
    cores = two_cores()
    with Stack(room_events_max=0, connects_per_s_max=0, connections_per_address_max=0) as stack:
        servers, left_out = start_with_peers(stack, ("Socket.IO", "ws"))
        if cores is not None:
            for server in servers:
                pin(server.pid, cores[0])
            pin(stack.redis.pid, cores[1])
        argv = [
            "-m",
            "loadtests.clients.publisher",
            "livegift",
            "--room",
            ROOM,
            "--per-s",
            str(PUBLISHED),
            "--seconds",
            "1",
        ]
        stack.run_client(argv, None, PUBLISH_TIMEOUT_S)
        others = cores[1] if cores else None
        runs = [_return(stack, server, options, others) for _ in range(options.rounds) for server in servers]
    rows = []
    for server in servers:
        own = [run for run in runs if run["server"] == server.name]
        rows += [
            Row(
                f"{server.name}: until the last of {options.viewers:,} is back", median(r["last_ms"] for r in own), "ms"
            ),
            Row(f"{server.name}: CPU", median(r["cpu_ms"] for r in own), "ms per viewer"),
            Row(f"{server.name}: Redis", median(r["redis_ms"] for r in own), "ms of CPU in all"),
        ]
    setup = asdict(options) | {"pinned": cores is not None}
    return Result(rows, setup, runs, left_out)


def _return(stack: Stack, server: Server, options: Storm, cores: set[int] | None) -> Run:
    viewers_count, frames = options.viewers, server.frames_until_ready
    scripts = [
        [message.replace('"room":', f'"since":{PUBLISHED - options.missed},"room":') for message in messages]
        for messages in server.scripts
    ]
    # Everybody was there before: what a server loads or learns with a first viewer is not what is measured.
    with recorder(
        server.address, server.path, viewers_count, scripts, frames, per_s=CONNECTS_PER_S, cores=cores
    ) as before:
        before.wait_ready()
        before.stop()
    time.sleep(1)
    watched = {"server": server.pid, "redis": stack.redis.pid}
    used = {name: cpu_s(pid) for name, pid in watched.items()}
    with recorder(server.address, server.path, viewers_count, scripts, frames, cores=cores) as viewers:
        viewers.wait_ready()
        took = {name: cpu_s(pid) - used[name] for name, pid in watched.items()}
        recording = viewers.stop()
    if recording.summary["refused"] or recording.summary["lost"]:
        raise LoadTestError(f"{server.name} refused or lost viewers: {recording.summary}")
    since = min(one.asked_ns for one in recording.connected)
    ready_ms = [(one.ready_ns - since) / 1e6 for one in recording.connected]
    return {
        "server": server.name,
        "last_ms": max(ready_ms),
        "ready_ms": percentiles(ready_ms),
        "cpu_ms": took["server"] * 1000 / viewers_count,
        "redis_ms": took["redis"] * 1000,
    }
