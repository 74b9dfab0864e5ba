"""What each durability costs: a gift's result, the time until it is booked, the aggregator's CPU."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import cpu_s, percentiles
from loadtests.harness.options import number
from loadtests.harness.results import Result, Row

DURABILITIES = ("none", "fsync", "replicated")

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DurabilityCost:
    """The load, how long and how often."""

    rate: float = number(500.0, short=100.0, about="gifts per second")
    # Each with a room and a creator of their own, so that credits tell which gifts were booked.
    senders: int = number(50, short=10, about="senders, rooms and creators")
    rounds: int = number(2, short=1, about="repetitions, each durability in turn")
    warm_up_s: float = number(4.0, short=1.0, about="load before anything is measured")
    seconds: float = number(15.0, short=2.0, about="measured interval of each repetition")
    booked_s: float = number(3.0, short=2.0, about="load after it, until the last of its gifts are booked")


def durability_cost(options: DurabilityCost) -> Result:
    """Measure each durability in turn: A B C A B C; the figures are of the last round, all are in the runs."""
    runs = [_cost(durability, options) for _ in range(options.rounds) for durability in DURABILITIES]
    rows = [row for run in runs[-len(DURABILITIES) :] for row in _rows(run)]
    setup: dict[str, object] = {
        **asdict(options), "appendfsync": "everysec", "replica": "on the same machine and disk, for `replicated` only",
    }  # fmt: skip
    return Result(rows, setup, runs)


def _cost(durability: str, options: DurabilityCost) -> Run:
    senders = options.senders
    with FaultStack(durability=durability) as stack:
        if durability == "replicated":
            stack.start_replica()
        stack.start_all(senders, senders)
        load = stack.load("--credited", rate=options.rate, users=senders, rooms=senders)
        time.sleep(options.warm_up_s)
        pid = stack.pid("aggregator")
        begin, used, gifts = time.monotonic(), cpu_s(pid), stack.gifts_accepted()
        time.sleep(options.seconds)
        end, used, gifts = time.monotonic(), cpu_s(pid) - used, stack.gifts_accepted() - gifts
        time.sleep(options.booked_s)
        trace = load.end()
        audit = stack.audit()
    booked = trace.credited_ms()
    return {
        "durability": durability,
        "result_ms": trace.latency(begin, end),
        "booked_ms": percentiles(booked) if len(booked) > 1 else {},
        "gifts_credited": len(booked),
        "aggregator_cpu_us_per_gift": used / max(gifts, 1) * 1e6,
        "counts": dict(trace.counts(begin, end)),
        "audit_exit_code": audit.exit_code,
    }


def _rows(run: Run) -> list[Row]:
    name, rows = run["durability"], []
    for key, what in (("result_ms", "gift sent to result"), ("booked_ms", "result to booked (`creator.credited`)")):
        rows += [Row(f"{name}: {what}, {p}", run[key].get(p, float("nan")), "ms") for p in ("p50", "p99")]
    return [
        *rows,
        Row(f"{name}: CPU of the aggregator per gift", run["aggregator_cpu_us_per_gift"], "µs"),
        Row(f"{name}: `livegift audit`, exit code", run["audit_exit_code"], "", "0"),
    ]
