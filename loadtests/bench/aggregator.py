"""Gifts booked per CPU-second of the aggregator: the outboxes are filled while none runs, then one catches up.

What it uses before it says `worker.leases` (imports, connections, checks) is not counted: it begins to read right after
that line. It ends when the checkpoints have reached the journals' ends. Gifts are debited by the same function call as
the web process makes, by many senders in many rooms, so that bookings touch many wallets and creators.
"""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import psycopg

from loadtests.harness.debits import COINS, ROOMS, fill
from loadtests.harness.measure import CPU_STEP_S, cpu_s, tree_cpu_s
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

START_POLL_S = 0.002
TAIL_POLL_S = 0.05
BOOK_TIMEOUT_S = 180.0

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Aggregator:
    """How many gifts, of how many senders, and how often."""

    rounds: int = number(2, short=1, about="repetitions")
    gifts: int = number(100_000, short=2_000, about="gifts of each repetition, a multiple of the senders", least=1_000)
    senders: int = number(1_000, short=100, about="senders of the gifts")


def aggregator(options: Aggregator) -> Result:
    """Book the gifts. Raises LoadTestError when the ledger does not have each of them in the end."""
    with Stack() as stack:
        stack.start("web")
        stack.start("aggregator")
        stack.wait_ready()
        stack.stop("web")
        stack.grant({f"sender-{turn}": COINS for turn in range(options.senders)})
        stack.stop("aggregator")
        runs = []
        for turn in range(options.rounds):
            sent = fill(stack, f"r{turn}", options.gifts, options.senders)
            runs.append(_book(stack, sent))
        with psycopg.connect(stack.postgres.url) as connection:
            row = connection.execute("SELECT count(*) FROM gifts").fetchone()
        if row is None or row[0] != sum(run["gifts"] for run in runs):
            raise LoadTestError(f"{sum(run['gifts'] for run in runs)} gifts were sent, the ledger has {row}")
    return _result(runs, options)


def _book(stack: Stack, gifts: int) -> Run:
    """Start an aggregator, wait until it has booked everything, stop it."""
    log = stack.log("aggregator")
    begin = log.stat().st_size
    ends = _journal_ends(stack)
    with psycopg.connect(stack.postgres.url, autocommit=True) as connection:
        pid = stack.start("aggregator")
        deadline = time.monotonic() + BOOK_TIMEOUT_S
        while b'"worker.leases"' not in log.read_bytes()[begin:]:
            _require_time(deadline, "the aggregator has its leases")
            time.sleep(START_POLL_S)
        since, start_up_s = time.perf_counter(), cpu_s(pid)
        postgres_s, redis_s = tree_cpu_s(stack.postgres.pid), cpu_s(stack.redis.pid)
        while not _is_booked(connection, ends):
            _require_time(deadline, "the checkpoints have reached the journals' ends")
            time.sleep(TAIL_POLL_S)
        used = {
            "aggregator": cpu_s(pid) - start_up_s,
            "postgresql": tree_cpu_s(stack.postgres.pid) - postgres_s,
            "redis": cpu_s(stack.redis.pid) - redis_s,
        }
        took_s = time.perf_counter() - since
    stack.stop("aggregator")
    if b'"aggregator.retry"' in log.read_bytes()[begin:]:
        raise LoadTestError("the aggregator had to repeat a batch: what it used says nothing")
    return {
        "gifts": gifts,
        "seconds": took_s,
        "cpu_s": used,
        "start_up_cpu_s": start_up_s,
        "gifts_per_cpu_s": gifts / max(used["aggregator"], CPU_STEP_S),
        "gifts_per_s": gifts / took_s,
    }


def _require_time(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise LoadTestError(f"after {BOOK_TIMEOUT_S:g} s still not: {what}")


def _journal_ends(stack: Stack) -> dict[int, int]:
    """Partition -> number of its last entry."""
    return {partition: state.n for partition, state in stack.partition_states().items()}


def _is_booked(connection: "psycopg.Connection[tuple[int, int]]", ends: dict[int, int]) -> bool:
    booked = dict(connection.execute("SELECT partition, n FROM checkpoints").fetchall())
    return all(booked[partition] >= n for partition, n in ends.items())


def _result(runs: list[Run], options: Aggregator) -> Result:
    def per_million(name: str) -> float:
        return float(median(run["cpu_s"][name] / run["gifts"] for run in runs)) * 1e6

    rows = [
        Row(
            "gifts booked per CPU-second of the aggregator",
            median(run["gifts_per_cpu_s"] for run in runs),
            "gifts",
            ">= 20,000",
        ),
        Row("aggregator", per_million("aggregator"), "CPU-s per million gifts"),
        Row("PostgreSQL", per_million("postgresql"), "CPU-s per million gifts"),
        Row("Redis", per_million("redis"), "CPU-s per million gifts"),
        Row(
            "gifts booked per second of wall time",
            median(run["gifts_per_s"] for run in runs),
            "gifts",
            note="with the durability barrier (fsync), which waits up to a second",
        ),
        Row("start-up, not counted above", median(run["start_up_cpu_s"] for run in runs), "CPU-s"),
    ]
    setup: dict[str, object] = asdict(options) | {
        "rooms_and_creators": ROOMS,
        "durability": "fsync",
        "pinned": False,
    }
    return Result(rows, setup, runs)
