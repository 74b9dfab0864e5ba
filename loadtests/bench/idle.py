"""What a connection costs that has joined a room and then only watches, and how long a gift takes to all of them."""

import time
from contextlib import AbstractContextManager
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, ROOM, start_with_peers
from loadtests.harness.measure import cpu_s, memory_kib, percentiles
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import Recorder, recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack
from loadtests.peers.servers import Server

WARM_UP_CONNECTIONS = 50  # what is loaded with the first connections belongs to none of them
SETTLE_S = 6.0  # until the count of viewers has been told
WATCH_S = 5.0
BURST_EVENTS = 20
BURST_S = 2.0
DRAIN_S = 3.0
PACE_PER_S = 20_000  # deliveries that the slowest server manages
PUBLISH_TIMEOUT_S = 60.0
Run = dict[str, Any]


def idle(rounds: int, connections: int) -> Result:
    """Measure with `connections`, each round on fresh processes."""
    runs: list[Run] = []
    left_out: list[str] = []
    for _ in range(rounds):
        with Stack(room_events_max=0, connections_max=0, connections_per_address_max=0, connects_per_s_max=0) as stack:
            servers, left_out = start_with_peers(stack, ("Socket.IO", "ws"))
            runs += [_measure(stack, server, connections) for server in servers]
    rows = []
    for name in dict.fromkeys(run["server"] for run in runs):
        own = [run for run in runs if run["server"] == name]
        for kind in ("rss", "pss"):
            if all(f"{kind}_kib" in run for run in own):
                value = median(run[f"{kind}_kib"] for run in own)
                target = "<= 20" if name == "livegift" else ""
                rows.append(Row(f"{name}: {kind.upper()} per idle connection", value, "KiB", target))
        share = median(run["cpu_share"] for run in own)
        rows.append(Row(f"{name}: CPU with {connections:,} of them", share * 100, "% of a core"))
        late = median(run["late_ms"]["p99"] for run in own)
        note = f"{BURST_EVENTS} gifts in {BURST_S:g} s, {median(run['burst_cpu_s'] for run in own):.2f} CPU-s"
        rows.append(Row(f"{name}: then a burst to all of them, p99", late, "ms", note=note))
    return Result(rows, {"connections": connections, "rounds": rounds, "pinned": False}, runs, left_out)


def _measure(stack: Stack, server: Server, connections: int) -> Run:
    with _viewers(server, WARM_UP_CONNECTIONS) as viewers:
        viewers.wait_ready()
        viewers.stop()
    time.sleep(SETTLE_S)
    before = memory_kib(server.pid)
    with _viewers(server, connections) as viewers:
        viewers.wait_ready()
        time.sleep(SETTLE_S)
        after, used = memory_kib(server.pid), cpu_s(server.pid)
        time.sleep(WATCH_S)
        idle_s, used = cpu_s(server.pid) - used, cpu_s(server.pid)
        argv = ["-m", "loadtests.clients.publisher", server.way, "--room", ROOM]
        argv += ["--per-s", str(BURST_EVENTS / BURST_S), "--seconds", str(BURST_S)]
        events = stack.run_client(argv, None, PUBLISH_TIMEOUT_S)["events"]
        time.sleep(DRAIN_S + events * connections / PACE_PER_S)
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
        "cpu_share": idle_s / WATCH_S,
        "burst_cpu_s": burst_s,
        "late_ms": percentiles(list(shown.late_ms)),
    }


def _viewers(server: Server, connections: int) -> AbstractContextManager[Recorder]:
    return recorder(
        server.address, server.path, connections, server.scripts, server.frames_until_ready, per_s=CONNECTS_PER_S
    )
