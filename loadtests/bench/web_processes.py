"""What one more web process costs: the same room and viewers, spread over one, two and four of them.

Each process builds its own frames from what Redis publishes once for each of them. The processes share the cores that
there are, so the sum of their CPU is the figure, not the time.
"""

import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, DRAIN_S, PUBLISH_GRACE_S, ROOM, VIEWERS, livegift
from loadtests.harness.measure import cpu_s, percentiles
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

PROCESSES = (1, 2, 4)
PER_S = 1_000
Run = dict[str, Any]


def web_processes(rounds: int, seconds: float) -> Result:
    """Measure each number of processes `rounds` times in turn."""
    with Stack(room_events_max=0) as stack:
        names = ["web", *(f"web {number}" for number in range(2, PROCESSES[-1] + 1))]
        pids = {name: stack.start(name) for name in names}
        stack.start("aggregator")
        stack.wait_ready()
        stack.open_room(ROOM, "bench-creator")
        stack.stop("aggregator")
        runs: list[Run] = []
        for _ in range(rounds):
            for count in PROCESSES:
                used = {name: pids[name] for name in names[:count]}
                first = sum(run["events"] for run in runs)
                runs.append({"processes": count, **_measure(stack, used, seconds, first)})
    rows = []
    for count in PROCESSES:
        own = [run for run in runs if run["processes"] == count]
        web, redis = (median(run[name] for run in own) for name in ("web_us", "redis_us"))
        late = median(run["late_ms"]["p99"] for run in own)
        rows.append(Row(f"{count} processes: web, all together", web, "us of CPU per gift", note=f"p99 {late:.0f} ms"))
        rows.append(Row(f"{count} processes: Redis", redis, "us of CPU per gift"))
    setup: dict[str, object] = {"viewers": VIEWERS, "gifts_per_s": PER_S, "seconds": seconds, "compressed": True}
    return Result(rows, setup | {"rounds": rounds, "pinned": False}, runs)


def _measure(stack: Stack, pids: dict[str, int], seconds: float, first: int) -> Run:
    share = VIEWERS // len(pids)
    with ExitStack() as open_recorders:
        recorders = []
        for name, pid in pids.items():
            server = livegift(stack, pid, name)
            opened = recorder(server.address, server.path, share, server.scripts, 2, deflate=True, per_s=CONNECTS_PER_S)
            recorders.append(open_recorders.enter_context(opened))
        for viewers in recorders:
            viewers.wait_ready()
        watched = [*pids.values(), stack.redis.pid]
        before = [cpu_s(pid) for pid in watched]
        argv = ["-m", "loadtests.clients.publisher", "livegift", "--room", ROOM, "--per-s", str(PER_S)]
        argv += ["--seconds", str(seconds), "--first", str(first)]
        published = stack.run_client(argv, None, seconds + PUBLISH_GRACE_S)
        time.sleep(DRAIN_S)
        *web, redis = [cpu_s(pid) - used for pid, used in zip(watched, before, strict=True)]
        recordings = [viewers.stop() for viewers in recorders]
    shown = [recording.shown() for recording in recordings]
    if sum(one.deliveries for one in shown) != published["events"] * share * len(pids):
        raise LoadTestError("not every viewer got every gift")
    return {
        "events": published["events"],
        "web_us": sum(web) / published["events"] * 1e6,
        "redis_us": redis / published["events"] * 1e6,
        "late_ms": percentiles([late for one in shown for late in one.late_ms]),
    }
