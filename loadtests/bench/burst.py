"""One room with many viewers and gifts by the thousand: event deliveries per CPU-second beside peers'.

livegift puts what comes within 40 ms into one frame; the peers' figure is theirs of a rate that they can follow, since
a frame for each event is their way.
"""

from statistics import median

from loadtests.harness.contenders import VIEWERS
from loadtests.harness.results import Result, Row
from loadtests.harness.room_bench import SINGLE_PER_S, Load, RoomBench, doubts_of, middle
from loadtests.harness.stack import Stack

BURSTS = (
    Load("1,000/s raw", 1_000),
    Load("2,000/s raw", 2_000),
    Load("1,000/s compressed", 1_000, deflate=True),
    Load("4,000/s compressed", 4_000, deflate=True),
)


def burst(rounds: int, seconds: float) -> Result:
    """Thousands of gifts a second in one room."""
    loads = BURSTS
    peers = ("Socket.IO", "ws")
    with Stack(room_events_max=0) as stack:
        bench = RoomBench(stack, seconds)
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
    setup = {"viewers": VIEWERS, "seconds": seconds, "rounds": rounds, "flush_ms": 40, "cap": "none"}
    return Result(rows, setup | {"pinned": bench.is_pinned}, bench.runs, doubts_of(bench, left_out))
