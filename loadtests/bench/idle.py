"""What a connection costs that has joined a room and then only watches, and how long a gift takes to all of them."""

import resource
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, ROOM, start_with_peers
from loadtests.harness.measure import cpu_s, memory_kib, percentiles
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import Recorder, recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack
from loadtests.peers.servers import Server

WARM_UP_CONNECTIONS = 50  # what is loaded with the first connections belongs to none of them
FILES_SPARE = 500  # beside the connections
BURST_EVENTS = 20
BURST_S = 2.0
PACE_PER_S = 20_000  # deliveries that the slowest server manages
PUBLISH_TIMEOUT_S = 60.0
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Idle:
    """How many connections, how long they are watched, and how often."""

    rounds: int = number(2, short=1, about="repetitions, each on fresh processes")
    connections: int = number(10_000, short=100, about="connections of each server")
    settle_s: float = number(6.0, short=1.0, about="how long until the count of viewers has been told")
    watch_s: float = number(5.0, short=1.0, about="how long nothing happens while CPU is measured")
    drain_s: float = number(3.0, short=1.0, about="how long the last event may take, beside what deliveries take")


def idle(options: Idle) -> Result:
    """Measure each server. Raises LoadTestError when the system does not allow so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < options.connections + FILES_SPARE:
        raise LoadTestError(f"{options.connections} connections need more open files than `ulimit -Hn` = {hard} allows")
    connections = options.connections
    runs: list[Run] = []
    left_out: list[str] = []
    for _ in range(options.rounds):
        with Stack(room_events_max=0, connections_max=0, connections_per_address_max=0, connects_per_s_max=0) as stack:
            servers, left_out = start_with_peers(stack, ("Socket.IO", "ws"))
            runs += [_measure(stack, server, options) for server in servers]
    rows = []
    for name in dict.fromkeys(run["server"] for run in runs):
        own = [run for run in runs if run["server"] == name]
        for kind in ("rss", "pss"):
            if all(f"{kind}_kib" in run for run in own):
                value = median(run[f"{kind}_kib"] for run in own)
                target = "<= 9" if name == "livegift" else ""
                rows.append(Row(f"{name}: {kind.upper()} per idle connection", value, "KiB", target))
        share = median(run["cpu_share"] for run in own)
        rows.append(Row(f"{name}: CPU with {connections:,} of them", share * 100, "% of a core"))
        late = median(run["late_ms"]["p99"] for run in own)
        note = f"{BURST_EVENTS} gifts in {BURST_S:g} s, {median(run['burst_cpu_s'] for run in own):.2f} CPU-s"
        rows.append(Row(f"{name}: then a burst to all of them, p99", late, "ms", note=note))
    return Result(rows, asdict(options) | {"pinned": False}, runs, left_out)


def _measure(stack: Stack, server: Server, options: Idle) -> Run:
    connections = options.connections
    with _viewers(server, WARM_UP_CONNECTIONS) as viewers:
        viewers.wait_ready()
        viewers.stop()
    time.sleep(options.settle_s)
    before = memory_kib(server.pid)
    with _viewers(server, connections) as viewers:
        viewers.wait_ready()
        time.sleep(options.settle_s)
        after, used = memory_kib(server.pid), cpu_s(server.pid)
        time.sleep(options.watch_s)
        idle_s, used = cpu_s(server.pid) - used, cpu_s(server.pid)
        argv = ["-m", "loadtests.clients.publisher", server.way, "--room", ROOM]
        argv += ["--per-s", str(BURST_EVENTS / BURST_S), "--seconds", str(BURST_S)]
        events = stack.run_client(argv, None, PUBLISH_TIMEOUT_S)["events"]
        time.sleep(options.drain_s + events * connections / PACE_PER_S)
        burst_s = cpu_s(server.pid) - used
        recording = viewers.stop()
    shown = recording.shown()
    if recording.summary["lost"] or shown.deliveries != events * connections:
        raise LoadTestError(
            f"{server.name}: {shown.deliveries:,} of {events * connections:,} came, {recording.summary}"
        )
    return {
        "server": server.name,
        **{f"{kind}_kib": (kib - before[kind]) / connections for kind, kib in after.items()},
        "cpu_share": idle_s / options.watch_s,
        "burst_cpu_s": burst_s,
        "late_ms": percentiles(list(shown.late_ms)),
    }


def _viewers(server: Server, connections: int) -> AbstractContextManager[Recorder]:
    return recorder(
        server.address, server.path, connections, server.scripts, server.frames_until_ready, per_s=CONNECTS_PER_S
    )
