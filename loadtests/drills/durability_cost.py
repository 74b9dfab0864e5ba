"""What each durability costs: a gift's result, the time until it is booked, the aggregator's CPU."""

import time
from typing import Any

from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import cpu_s, percentiles
from loadtests.harness.results import Result, Row

USERS = 50  # each with a room and a creator of their own, so that credits tell which gifts were booked
WARM_UP_S = 4.0
BOOKED_S = 3.0
DURABILITIES = ("none", "fsync", "replicated")

Run = dict[str, Any]


def durability_cost(rate: float, seconds: float, rounds: int) -> Result:
    """Each durability in turn, `rounds` times: A B C A B C; the figures are of the last round, all are in the runs."""
    runs = [_cost(durability, rate, seconds) for _ in range(rounds) for durability in DURABILITIES]
    rows = [row for run in runs[-len(DURABILITIES) :] for row in _rows(run)]
    setup: dict[str, object] = {
        "gifts_per_s": rate, "seconds": seconds, "rounds": rounds, "senders_rooms_creators": USERS,
        "appendfsync": "everysec", "replica": "on the same machine and disk, for `replicated` only",
    }  # fmt: skip
    return Result(rows, setup, runs)


def _cost(durability: str, rate: float, seconds: float) -> Run:
    with FaultStack(durability=durability) as stack:
        if durability == "replicated":
            stack.start_replica()
        stack.start_all(USERS, USERS)
        load = stack.load("--credited", rate=rate, users=USERS, rooms=USERS)
        time.sleep(WARM_UP_S)
        pid = stack.pid("aggregator")
        begin, used, gifts = time.monotonic(), cpu_s(pid), stack.gifts_accepted()
        time.sleep(seconds)
        end, used, gifts = time.monotonic(), cpu_s(pid) - used, stack.gifts_accepted() - gifts
        time.sleep(BOOKED_S)
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
