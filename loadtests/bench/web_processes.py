"""What one more web process costs: the same room and viewers, spread over one, two and four of them.

Each process builds its own frames from what Redis publishes once for each of them. The processes share the cores that
there are, so the sum of their CPU is the figure, not the time.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, DRAIN_S, PUBLISH_GRACE_S, ROOM, livegift
from loadtests.harness.measure import cpu_s, percentiles
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

PROCESSES = (1, 2, 4)
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WebProcesses:
    """How long, how often and to how many."""

    rounds: int = number(2, short=1, about="repetitions, each number of processes in turn")
    seconds: float = number(5.0, short=0.5, about="how long each repetition publishes")
    viewers: int = number(1_000, short=20, about="viewers of the room, on all processes together", least=4)
    gifts_per_s: float = number(1_000.0, short=500.0, about="gifts per second")


def web_processes(options: WebProcesses) -> Result:
    """Measure each number of processes in turn."""
    with Stack(room_events_max=0) as stack:
        names = ["web", *(f"web {number}" for number in range(2, PROCESSES[-1] + 1))]
        pids = {name: stack.start(name) for name in names}
        stack.start("aggregator")
        stack.wait_ready()
        stack.open_room(ROOM, "bench-creator")
        stack.stop("aggregator")
        runs: list[Run] = []
        for _ in range(options.rounds):
            for count in PROCESSES:
                used = {name: pids[name] for name in names[:count]}
                first = sum(run["events"] for run in runs)
                runs.append({"processes": count, **_measure(stack, used, options, first)})
    rows = []
    for count in PROCESSES:
        own = [run for run in runs if run["processes"] == count]
        web, redis = (median(run[name] for run in own) for name in ("web_us", "redis_us"))
        late = median(run["late_ms"]["p99"] for run in own)
        rows.append(Row(f"{count} processes: web, all together", web, "us of CPU per gift", note=f"p99 {late:.0f} ms"))
        rows.append(Row(f"{count} processes: Redis", redis, "us of CPU per gift"))
    setup: dict[str, object] = asdict(options) | {"compressed": True, "pinned": False}
    return Result(rows, setup, runs)


def _measure(stack: Stack, pids: dict[str, int], options: WebProcesses, first: int) -> Run:
    share = options.viewers // len(pids)
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
        argv = ["-m", "loadtests.clients.publisher", "livegift", "--room", ROOM, "--per-s", str(options.gifts_per_s)]
        argv += ["--seconds", str(options.seconds), "--first", str(first)]
        published = stack.run_client(argv, None, options.seconds + PUBLISH_GRACE_S)
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
