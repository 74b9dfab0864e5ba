"""One room with many viewers and gifts by the thousand: event deliveries per CPU-second beside peers'.

livegift puts what comes within 40 ms into one frame; the peers' figure is theirs of a rate that they can follow, since
a frame for each event is their way.
"""

from dataclasses import asdict, dataclass
from statistics import median

from loadtests.harness.options import number
from loadtests.harness.results import Result, Row
from loadtests.harness.room_bench import SINGLE_PER_S, Load, RoomBench, doubts_of, middle
from loadtests.harness.stack import Stack

BURSTS = (
    Load("1,000/s raw", 1_000),
    Load("2,000/s raw", 2_000),
    Load("1,000/s compressed", 1_000, deflate=True),
    Load("4,000/s compressed", 4_000, deflate=True),
)


@dataclass(frozen=True, slots=True)
class Burst:
    """How long, how often and to how many."""

    rounds: int = number(2, short=1, about="repetitions, each load in turn")
    seconds: float = number(5.0, short=0.5, about="how long each repetition publishes")
    viewers: int = number(1_000, short=20, about="viewers of the room")


def burst(options: Burst) -> Result:
    """Publish thousands of gifts a second in one room."""
    loads = BURSTS
    peers = ("Socket.IO", "ws")
    with Stack(room_events_max=0) as stack:
        bench = RoomBench(stack, options.seconds, options.viewers)
        servers, left_out = bench.start(peers)
        for _ in range(options.rounds):
            for load in loads:
                bench.measure(servers[0], load)
            for server in servers[1:]:
                bench.measure(server, Load("a frame each", SINGLE_PER_S))
    rows: list[Row] = []
    figures: dict[str, float] = {}
    for name in [*(load.label for load in loads), *(server.name for server in servers[1:])]:
        runs = [run for run in bench.runs if name in (run["load"], run["server"])]
        figures[name] = middle(runs, "deliveries_per_cpu_s")
        late = median(run["late_ms"]["p99"] for run in runs)
        size = median(run["megabytes"] / run["seconds"] for run in runs)
        frames_per_s = middle(runs, "frames") / runs[0]["seconds"]
        note = f"{middle(runs, 'server_share'):.0%} of a core, {frames_per_s:,.0f} frames/s"
        label = name if name in peers else f"livegift, {name}"
        rows.append(Row(f"{label}: event deliveries per CPU-second", figures[name], "events", note=note))
        rows.append(Row(f"{label}: p99", late, "ms", "" if name in peers else "<= 150"))
        rows.append(Row(f"{label}: bandwidth", size, "MB/s"))
    if "Socket.IO" in figures:
        for label, target in (("2,000/s raw", ">= 30"), ("4,000/s compressed", ">= 60")):
            rows.append(Row(f"livegift {label} / Socket.IO", figures[label] / figures["Socket.IO"], "times", target))
    setup = asdict(options) | {"flush_ms": 40, "cap": "none", "pinned": bench.is_pinned}
    return Result(rows, setup, bench.runs, doubts_of(bench, left_out))
