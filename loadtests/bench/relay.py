"""Gifts brought from the journals to their rooms by one relay: it catches up with outboxes that were filled without it.

What it uses before it says `worker.leases` is not counted. Beside it stands what Redis needs for the debits of the same
gifts: a relay that publishes more a second than Redis can debit in a second keeps up with one Redis at full speed.
"""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.harness.debits import COINS, ROOMS, fill
from loadtests.harness.measure import CPU_STEP_S, cpu_s
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

START_POLL_S = 0.002
TAIL_POLL_S = 0.05
PUBLISH_TIMEOUT_S = 120.0
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Relay:
    """How many gifts, of how many senders, and how often."""

    rounds: int = number(2, short=1, about="repetitions")
    gifts: int = number(100_000, short=2_000, about="gifts of each repetition, a multiple of the senders", least=1_000)
    senders: int = number(1_000, short=100, about="senders of the gifts")


def relay(options: Relay) -> Result:
    """Publish the gifts. Raises LoadTestError when not all of them were published."""
    runs: list[Run] = []
    with Stack() as stack:
        stack.start("web")
        stack.start("aggregator")
        stack.wait_ready()
        stack.grant({f"sender-{turn}": COINS for turn in range(options.senders)})
        stack.stop("web")
        stack.stop("aggregator")
        runs += [_publish(stack, f"r{turn}", options) for turn in range(options.rounds)]

    def middle(name: str) -> float:
        return float(median(run[name] for run in runs))

    rows = [
        Row("gifts published per second by one relay", middle("gifts_per_s"), "gifts", note=f"{ROOMS} rooms"),
        Row("gifts debited per second by the same Redis", middle("debits_per_s"), "gifts", note="doing nothing else"),
        Row("relay / debit", middle("gifts_per_s") / middle("debits_per_s"), "times", ">= 1"),
        Row("relay", middle("relay_us"), "us of CPU per gift"),
        Row("Redis, publishing", middle("redis_us"), "us of CPU per gift"),
        Row("Redis, debiting", middle("debit_us"), "us of CPU per gift"),
    ]
    setup: dict[str, object] = asdict(options) | {"rooms": ROOMS, "pinned": False}
    return Result(rows, setup, runs)


def _publish(stack: Stack, run: str, options: Relay) -> Run:
    redis, log = stack.redis.pid, stack.log("relay")
    since, used = time.perf_counter(), cpu_s(redis)
    sent = fill(stack, run, options.gifts, options.senders)
    debit_s, debit_cpu_s = time.perf_counter() - since, cpu_s(redis) - used
    begin = log.stat().st_size if log.exists() else 0
    pid = stack.start("relay")
    deadline = time.monotonic() + PUBLISH_TIMEOUT_S
    while b'"worker.leases"' not in log.read_bytes()[begin:]:
        _require_time(deadline)
        time.sleep(START_POLL_S)
    since, own, used = time.perf_counter(), cpu_s(pid), cpu_s(redis)
    while any(state.relayed.n < state.n for state in stack.partition_states().values()):
        _require_time(deadline)
        time.sleep(TAIL_POLL_S)
    took_s, own, used = time.perf_counter() - since, cpu_s(pid) - own, cpu_s(redis) - used
    stack.stop("relay")
    return {
        "gifts": sent,
        "gifts_per_s": sent / took_s,
        "debits_per_s": sent / max(debit_cpu_s, CPU_STEP_S),
        "debit_wall_s": debit_s,
        "relay_us": own / sent * 1e6,
        "redis_us": used / sent * 1e6,
        "debit_us": debit_cpu_s / sent * 1e6,
    }


def _require_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise LoadTestError(f"the relay has not caught up within {PUBLISH_TIMEOUT_S:g} s")
