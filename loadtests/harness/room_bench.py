"""One room with many viewers on several servers in turn: what each delivers per CPU-second.

Every server takes the same events from the same Redis, on the same core, in turn. The viewers are a C program that
writes down what came; the publisher tells in each event when it was meant to be sent. Everything must arrive.
"""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtests.harness.contenders import CONNECTS_PER_S, DRAIN_S, PUBLISH_GRACE_S, ROOM, start_with_peers
from loadtests.harness.measure import CPU_STEP_S, cpu_s, percentiles, pin, two_cores
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import Recording, recorder
from loadtests.harness.stack import Stack
from loadtests.peers.servers import Server

SINGLE_PER_S = 25.0  # 25,000 frames a second: the slowest peer can follow
BUSY = 0.95

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and how the viewers take it."""

    label: str
    per_s: float
    deflate: bool = False


class RoomBench:
    """One system with its peers, measured in turn."""

    def __init__(self, stack: Stack, seconds: float, viewers: int) -> None:
        """Each measurement publishes for `seconds` to so many viewers."""
        self.stack = stack
        self._viewers = viewers
        self._seconds = seconds
        self._cores = two_cores()
        self._published = 0
        self.runs: list[Run] = []

    @property
    def is_pinned(self) -> bool:
        """Whether servers and clients have cores of their own."""
        return self._cores is not None

    def start(self, peers: tuple[str, ...]) -> tuple[list[Server], list[str]]:
        """Start livegift's web process and the peers, all on one core; the rest is on the others."""
        servers, left_out = start_with_peers(self.stack, peers)
        if self._cores is not None:
            for server in servers:
                pin(server.pid, self._cores[0])
            pin(self.stack.redis.pid, self._cores[1])
        return servers, left_out

    def measure(self, server: Server, load: Load) -> Run:
        """Publish, and count what came. Raises LoadTestError when anything did not."""
        others = self._cores[1] if self._cores else None
        with recorder(
            server.address,
            server.path,
            self._viewers,
            server.scripts,
            server.frames_until_ready,
            deflate=load.deflate,
            per_s=CONNECTS_PER_S,
            cores=others,
        ) as viewers:
            viewers.wait_ready()
            watched = {"server": server.pid, "redis": self.stack.redis.pid, "client": viewers.pid}
            before = {name: cpu_s(pid) for name, pid in watched.items()}
            argv = ["-m", "loadtests.clients.publisher", server.way, "--room", ROOM, "--per-s", str(load.per_s)]
            argv += ["--seconds", str(self._seconds), "--first", str(self._published)]
            published = self.stack.run_client(argv, others, self._seconds + PUBLISH_GRACE_S)
            time.sleep(DRAIN_S)
            used = {name: cpu_s(pid) - before[name] for name, pid in watched.items()}
            recording = viewers.stop()
        self._published += published["events"]
        run = {"server": server.name, "load": load.label, **_evaluated(recording, published, used, self._viewers)}
        self.runs.append(run)
        return run


def _evaluated(recording: Recording, published: dict[str, Any], used: dict[str, float], viewers: int) -> Run:
    shown, events = recording.shown(), published["events"]
    if recording.summary["lost"] or recording.summary["refused"]:
        raise LoadTestError(f"viewers were lost: {recording.summary}")
    if shown.deliveries != events * viewers:
        raise LoadTestError(f"{events:,} events to {viewers:,} viewers were published, {shown.deliveries:,} came")
    sequences = recording.byte_sequences()
    return {
        "events": events,
        "seconds": published["seconds"],
        "frames": shown.frames,
        "deliveries": shown.deliveries,
        "megabytes": shown.payload_bytes / 1e6,
        "viewers_with_the_same_bytes": max(sequences.values()),
        "frames_per_cpu_s": shown.frames / max(used["server"], CPU_STEP_S),
        "deliveries_per_cpu_s": shown.deliveries / max(used["server"], CPU_STEP_S),
        "late_ms": percentiles(list(shown.late_ms)),
        "publisher_late_ms_max": published["late_ms_max"],
        "cpu_s": {**used, "publisher": published["cpu_s"]},
        "server_share": used["server"] / published["seconds"],
    }


def middle(runs: list[Run], name: str) -> float:
    """Return the median of one figure."""
    return float(median(run[name] for run in runs))


def doubts_of(bench: RoomBench, left_out: list[str]) -> list[str]:
    """Return what casts doubt on the figures: who was left out, and when the other core was full."""
    doubts = list(left_out)
    if not bench.is_pinned:
        doubts.append("one core only: servers, clients and Redis shared it")
    for run in bench.runs:
        others = sum(used for name, used in run["cpu_s"].items() if name != "server") / run["seconds"]
        if bench.is_pinned and others >= BUSY:
            doubts.append(f"{run['server']}, {run['load']}: the other core was full ({others:.0%}); times are too long")
    return doubts
