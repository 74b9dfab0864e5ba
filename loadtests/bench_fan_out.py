"""One room with many viewers: what a server delivers per CPU-second, beside what people would pick instead.

Every server takes the same events from the same Redis, on the same core, in turn. The viewers are a C program that
writes down what came; the publisher tells in each event when it was meant to be sent. Everything must arrive.

- `fan-out`: a frame for each event, as every server can do it (livegift with no least time between frames).
- `burst`: gifts by the thousand. livegift puts what comes within 40 ms into one frame; the peers' figure is theirs of a
  rate that they can follow, since a frame for each event is their way.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtests.measure import cpu_s, percentiles, pin, two_cores
from loadtests.peers.servers import PEERS, Server, start_peers
from loadtests.processes import LoadTestError
from loadtests.recorder import Recording, recorder
from loadtests.results import Result, Row
from loadtests.stack import Stack

VIEWERS = 1_000
ROOM = "bench"
USERS = 1_000
CONNECTS_PER_S = 500
SINGLE_PER_S = 25.0  # 25,000 frames a second: the slowest peer can follow
SECONDS = 6.0
DRAIN_S = 1.5
PUBLISH_GRACE_S = 60.0
BUSY = 0.95

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and how the viewers take it."""

    label: str
    per_s: float
    deflate: bool = False


BURSTS = (
    Load("1,000/s raw", 1_000),
    Load("2,000/s raw", 2_000),
    Load("1,000/s compressed", 1_000, deflate=True),
    Load("4,000/s compressed", 4_000, deflate=True),
)


class _Bench:
    """One system with its peers, measured in turn."""

    def __init__(self, stack: Stack, seconds: float) -> None:
        self.stack = stack
        self._seconds = seconds
        self._cores = two_cores()
        self._published = 0
        self.runs: list[Run] = []

    @property
    def is_pinned(self) -> bool:
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
            VIEWERS,
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
        run = {"server": server.name, "load": load.label, **_evaluated(recording, published, used)}
        self.runs.append(run)
        return run


def start_with_peers(stack: Stack, names: Iterable[str]) -> tuple[list[Server], list[str]]:
    """A web process of livegift with its room open and nothing beside it, then those that `start_peers` can start."""
    web = stack.start("web")
    stack.start("aggregator")
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.stop("aggregator")
    peers, left_out = start_peers(stack, names)
    return [livegift(stack, web), *peers], left_out


def livegift(stack: Stack, web: int, name: str = "web") -> Server:
    """A web process as one of the servers: viewers say hello and join."""
    return Server(
        "livegift",
        web,
        stack.addresses[name],
        "/v1/ws",
        [
            [
                f'{{"type":"hello","token":"{stack.tokens.sign(f"viewer-{number}", age_verified=True)}"}}',
                f'{{"type":"room.join","room":"{ROOM}"}}',
            ]
            for number in range(USERS)
        ],
        2,
        "livegift",
    )


def _evaluated(recording: Recording, published: dict[str, Any], used: dict[str, float]) -> Run:
    shown, events = recording.shown(), published["events"]
    if recording.summary["lost"] or recording.summary["refused"]:
        raise LoadTestError(f"viewers were lost: {recording.summary}")
    if shown.deliveries != events * VIEWERS:
        raise LoadTestError(f"{events:,} events to {VIEWERS:,} viewers were published, {shown.deliveries:,} came")
    sequences = recording.byte_sequences()
    return {
        "events": events,
        "seconds": published["seconds"],
        "frames": shown.frames,
        "deliveries": shown.deliveries,
        "megabytes": shown.payload_bytes / 1e6,
        "viewers_with_the_same_bytes": max(sequences.values()),
        "frames_per_cpu_s": shown.frames / max(used["server"], 1e-9),
        "deliveries_per_cpu_s": shown.deliveries / max(used["server"], 1e-9),
        "late_ms": percentiles(list(shown.late_ms)),
        "publisher_late_ms_max": published["late_ms_max"],
        "cpu_s": {**used, "publisher": published["cpu_s"]},
        "server_share": used["server"] / published["seconds"],
    }


def _median(runs: list[Run], name: str) -> float:
    return float(median(run[name] for run in runs))


def _doubts(bench: _Bench, left_out: list[str]) -> list[str]:
    doubts = list(left_out)
    if not bench.is_pinned:
        doubts.append("one core only: servers, clients and Redis shared it")
    for run in bench.runs:
        others = sum(used for name, used in run["cpu_s"].items() if name != "server") / run["seconds"]
        if bench.is_pinned and others >= BUSY:
            doubts.append(f"{run['server']}, {run['load']}: the other core was full ({others:.0%}); times are too long")
    return doubts


def fan_out(rounds: int, seconds: float) -> Result:
    """A frame for each event, `rounds` times each server in turn."""
    with Stack(room_flush_ms=0, room_events_max=0) as stack:
        bench = _Bench(stack, seconds)
        servers, left_out = bench.start(tuple(PEERS))
        load = Load("single", SINGLE_PER_S)
        for _ in range(rounds):
            for server in servers:
                bench.measure(server, load)
    by_name = {server.name: [run for run in bench.runs if run["server"] == server.name] for server in servers}
    per_cpu_s = {name: _median(runs, "frames_per_cpu_s") for name, runs in by_name.items()}
    rows = []
    for name, runs in by_name.items():
        p99 = median(run["late_ms"]["p99"] for run in runs)
        note = f"{_median(runs, 'server_share'):.0%} of a core, p99 {p99:.1f} ms, {runs[0]['megabytes']:.0f} MB"
        rows.append(Row(f"{name}: frames per CPU-second", per_cpu_s[name], "frames", note=note))
    targets = {"Starlette loop": ">= 2.0", "Socket.IO": ">= 1.5", "C, send()": ">= 0.75"}
    rows += [
        Row(f"livegift / {name}", per_cpu_s["livegift"] / value, "times", targets.get(name, ""))
        for name, value in per_cpu_s.items()
        if name != "livegift"
    ]
    setup = {"viewers": VIEWERS, "events_per_s": SINGLE_PER_S, "seconds": seconds, "rounds": rounds}
    return Result(rows, setup | {"pinned": bench.is_pinned}, bench.runs, _doubts(bench, left_out))


def burst(rounds: int, seconds: float) -> Result:
    """Thousands of gifts a second in one room."""
    loads = BURSTS
    peers = ("Socket.IO", "ws")
    with Stack(room_events_max=0) as stack:
        bench = _Bench(stack, seconds)
        servers, left_out = bench.start(peers)
        for _ in range(rounds):
            for load in loads:
                bench.measure(servers[0], load)
            for server in servers[1:]:
                bench.measure(server, Load("a frame each", SINGLE_PER_S))
    rows: list[Row] = []
    figures: dict[str, float] = {}
    for name in [*(load.label for load in loads), *(server.name for server in servers[1:])]:
        runs = [run for run in bench.runs if name in (run["load"], run["server"])]
        figures[name] = _median(runs, "deliveries_per_cpu_s")
        late = median(run["late_ms"]["p99"] for run in runs)
        size = median(run["megabytes"] / run["seconds"] for run in runs)
        frames_per_s = _median(runs, "frames") / runs[0]["seconds"]
        note = f"{_median(runs, 'server_share'):.0%} of a core, {frames_per_s:,.0f} frames/s"
        label = name if name in peers else f"livegift, {name}"
        rows.append(Row(f"{label}: event deliveries per CPU-second", figures[name], "events", note=note))
        rows.append(Row(f"{label}: p99", late, "ms", "" if name in peers else "<= 150"))
        rows.append(Row(f"{label}: bandwidth", size, "MB/s"))
    if "Socket.IO" in figures:
        for label, target in (("2,000/s raw", ">= 30"), ("4,000/s compressed", ">= 60")):
            rows.append(Row(f"livegift {label} / Socket.IO", figures[label] / figures["Socket.IO"], "times", target))
    setup = {"viewers": VIEWERS, "seconds": seconds, "rounds": rounds, "flush_ms": 40, "cap": "none"}
    return Result(rows, setup | {"pinned": bench.is_pinned}, bench.runs, _doubts(bench, left_out))
