"""One room with many viewers, a frame for each event, as every server can do it: frames per CPU-second beside peers'.

livegift runs with no least time between frames.
"""

from dataclasses import asdict, dataclass
from statistics import median

from loadtests.harness.options import number
from loadtests.harness.results import Result, Row
from loadtests.harness.room_bench import SINGLE_PER_S, Load, RoomBench, doubts_of, middle
from loadtests.harness.stack import Stack
from loadtests.peers.servers import PEERS


@dataclass(frozen=True, slots=True)
class FanOut:
    """How long, how often and to how many."""

    rounds: int = number(2, short=1, about="repetitions, each server in turn")
    seconds: float = number(5.0, short=1.0, about="how long each repetition publishes")
    viewers: int = number(1_000, short=30, about="viewers of the room")


def fan_out(options: FanOut) -> Result:
    """Measure each server in turn, with a frame for each event."""
    with Stack(room_flush_ms=0, room_events_max=0) as stack:
        bench = RoomBench(stack, options.seconds, options.viewers)
        servers, left_out = bench.start(tuple(PEERS))
        load = Load("single", SINGLE_PER_S)
        for _ in range(options.rounds):
            for server in servers:
                bench.measure(server, load)
    by_name = {server.name: [run for run in bench.runs if run["server"] == server.name] for server in servers}
    per_cpu_s = {name: middle(runs, "frames_per_cpu_s") for name, runs in by_name.items()}
    rows = []
    for name, runs in by_name.items():
        p99 = median(run["late_ms"]["p99"] for run in runs)
        note = f"{middle(runs, 'server_share'):.0%} of a core, p99 {p99:.1f} ms, {runs[0]['megabytes']:.0f} MB"
        rows.append(Row(f"{name}: frames per CPU-second", per_cpu_s[name], "frames", note=note))
    targets = {"Starlette loop": ">= 2.0", "Socket.IO": ">= 1.5", "C, send()": ">= 0.75"}
    rows += [
        Row(f"livegift / {name}", per_cpu_s["livegift"] / value, "times", targets.get(name, ""))
        for name, value in per_cpu_s.items()
        if name != "livegift"
    ]
    setup = asdict(options) | {"events_per_s": SINGLE_PER_S, "pinned": bench.is_pinned}
    return Result(rows, setup, bench.runs, doubts_of(bench, left_out))
