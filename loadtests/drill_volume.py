"""Much of everything: the audit of a million gifts, and how far the ledger is behind at thousands of gifts a second."""

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.store.client import Store
from livegift.store.functions import call
from livegift.store.outbox import Outbox
from loadtests import processes
from loadtests.bench_aggregator import COINS, ROOMS, SENDERS, aggregator
from loadtests.drill_stack import Audit, DrillStack
from loadtests.measure import cpu_s, memory_kib, percentiles, pin, tree_cpu_s, two_cores
from loadtests.processes import LoadTestError, tail
from loadtests.results import Result, Row

ENTRIES_TIMEOUT_S = 900.0
PRODUCER_START_S = 2.0
LAG_PROBES = 8
LAG_PAUSE_MAX_S = 0.5
CHECKPOINT_POLL_S = 0.02
BOOKED_TIMEOUT_S = 60.0
BARRIER_MS = 5_000
BEHIND_S = 0.5  # a producer that was later than this did not keep its rate
DURABILITIES = ("none", "fsync")

Run = dict[str, Any]


class Producer:
    """A running drill_producer.py."""

    def __init__(self, stack: DrillStack, *argv: str) -> None:
        """`argv` are its arguments."""
        self._stack = stack
        with stack.log("producer").open("ab") as log:
            run = f"p{time.monotonic_ns()}"
            argv = ("-m", "loadtests.drill_producer", "--run", run, *argv)
            self.process = processes.start(argv, stack.environ(), stdout=subprocess.PIPE, stderr=log)

    def end(self, timeout_s: float, *, now: bool) -> Run:
        """What it says in the end; `now` tells it to stop. Raises LoadTestError when it fails."""
        if now:
            self.process.terminate()
        try:
            out, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LoadTestError(f"the producer did not end within {timeout_s:g} s") from None
        if self.process.returncode:
            raise LoadTestError(f"the producer failed\n{tail(self._stack.log('producer'))}")
        found: Run = orjson.loads(out)
        return found


@contextmanager
def producing(stack: DrillStack, *argv: str) -> Iterator[Producer]:
    """A producer that does not outlive the block."""
    producer = Producer(stack, *argv)
    try:
        yield producer
    finally:
        if producer.process.poll() is None:
            producer.process.kill()
            producer.process.wait()


# --- The audit ------------------------------------------------------------------------------------------------------


def audit_million(gifts: int, rate: float) -> Result:
    """Audit a ledger of so many gifts, at rest and under traffic."""
    with DrillStack() as stack:
        stack.start_all(users=0, rooms=0)
        for number in range(ROOMS):
            stack.open_room(f"room-{number}", f"creator-{number}")
        stack.grant({f"sender-{number}": COINS for number in range(SENDERS)})
        since = time.monotonic()
        with producing(stack, "--gifts", str(gifts)) as producer:
            filled = producer.end(ENTRIES_TIMEOUT_S, now=False)
        _wait_all_read(stack)
        booked_s = time.monotonic() - since
        quiet = _audit(stack)
        with producing(stack, "--rate", str(rate)) as producer:
            time.sleep(PRODUCER_START_S)
            busy = _audit(stack)
            traffic = producer.end(BOOKED_TIMEOUT_S, now=True)
        _wait_all_read(stack)
        last = _audit(stack)
    rows = [
        Row("gifts in the ledger", filled["accepted"], "gifts", "", f"debited in {filled['seconds']:.0f} s, booked and "
            f"published within {booked_s:.0f} s"),
        *_audit_rows("at rest", *quiet),
        *_audit_rows(f"under {traffic['accepted'] / traffic['seconds']:.0f} gifts/s", *busy),
        *_audit_rows("afterwards", *last),
    ]  # fmt: skip
    setup: dict[str, object] = {"gifts": gifts, "rate_under_traffic": rate, "senders": SENDERS, "rooms": ROOMS}
    runs: list[Run] = [
        {"when": when, "postgres_cpu_s": cpu, "redis_cpu_s": redis_cpu, "cpu_s": audit.cpu_s, "seconds": audit.seconds,
         "rss_mib": audit.rss_mib, "exit_code": audit.exit_code, "violations": audit.violations,
         "compared": [check.get("compared") for check in audit.checks]}
        for when, (audit, cpu, redis_cpu) in {"quiet": quiet, "busy": busy, "last": last}.items()
    ]  # fmt: skip
    return Result(rows, setup, [filled, traffic, *runs])


def _wait_all_read(stack: DrillStack) -> None:
    def done() -> bool:
        time.sleep(0.5)  # each look costs the servers something
        states = stack.partition_states().values()
        return all(state.n == state.booked.n == state.relayed.n for state in states)

    stack.wait_until(done, "everything is booked and published", ENTRIES_TIMEOUT_S)


def _audit(stack: DrillStack) -> tuple[Audit, float, float]:
    postgres, redis = tree_cpu_s(stack.postgres.pid), cpu_s(stack.redis.pid)
    audit = stack.audit()
    return audit, tree_cpu_s(stack.postgres.pid) - postgres, cpu_s(stack.redis.pid) - redis


def _audit_rows(when: str, audit: Audit, postgres_cpu_s: float, redis_cpu_s: float) -> list[Row]:
    return [
        Row(f"audit {when}: exit code", audit.exit_code, "", "0", "; ".join(audit.violations)),
        Row(f"audit {when}: wall time", audit.seconds, "s"),
        Row(f"audit {when}: CPU of the process", audit.cpu_s, "s", "", f"PostgreSQL {postgres_cpu_s:.1f} s, Redis "
            f"{redis_cpu_s:.1f} s of CPU meanwhile"),
        Row(f"audit {when}: peak memory of the process", audit.rss_mib, "MiB RSS"),
    ]  # fmt: skip


# --- The aggregator -------------------------------------------------------------------------------------------------


def aggregator_lag(rate: float, seconds: float, gifts: int) -> Result:
    """Gifts per CPU-second as bench_aggregator.py finds it, then the lag at a rate, with and without a barrier."""
    bench = aggregator(2, gifts)
    runs = [_lag(durability, rate, seconds) for durability in DURABILITIES]
    rows = [bench.rows[0], *(row for run in runs for row in _lag_rows(run))]
    doubts = [
        f"{run['durability']}: the producer was up to {run['producer']['late_max_s']:.1f} s late"
        for run in runs
        if run["producer"]["late_max_s"] > BEHIND_S
    ]
    setup: dict[str, object] = {"gifts_per_s": rate, "seconds": seconds, "senders": SENDERS, "rooms": ROOMS,
                                "relay": "not running", "pinned": two_cores() is not None}  # fmt: skip
    return Result(rows, setup, [*bench.runs, *runs], doubts)


def _lag(durability: str, rate: float, seconds: float) -> Run:
    cores = two_cores()
    with DrillStack(durability=durability) as stack:
        for name in ("web", "aggregator"):
            stack.start(name)
        stack.wait_ready()
        stack.stop("web")
        stack.grant({f"sender-{number}": COINS for number in range(SENDERS)})
        with producing(stack, "--rate", str(rate)) as producer:
            pid = stack.pid("aggregator")
            if cores is not None:
                pin(producer.process.pid, cores[1])
                pin(pid, cores[0])
            time.sleep(PRODUCER_START_S)
            used, memory = cpu_s(pid), memory_kib(pid)
            before, since = stack.gifts_accepted(), time.monotonic()
            lags = asyncio.run(_sample(stack, seconds))
            cpu, took_s = cpu_s(pid) - used, time.monotonic() - since
            gifts = stack.gifts_accepted() - before
            said = producer.end(BOOKED_TIMEOUT_S, now=True)
    return {
        "durability": durability,
        "samples": len(lags),
        "lag_ms": percentiles([(booked - at) * 1000 for at, _, booked in lags]),
        "barrier_ms": percentiles([(durable - at) * 1000 for at, durable, _ in lags]),
        "beyond_ms": percentiles([max(booked - durable, 0.0) * 1000 for _, durable, booked in lags]),
        "gifts_per_s": gifts / took_s,
        "gifts_per_cpu_s": gifts / max(cpu, 1e-9),
        "rss_kib": memory["rss"],
        "producer": said,
    }


async def _sample(stack: DrillStack, seconds: float) -> list[tuple[float, float, float]]:
    """(written, on disk, booked) of moments spread over the interval, all partitions of each moment together."""
    store, database = await Store.connect(stack.settings.redis_url), Database(stack.settings.database_url)
    outbox = Outbox(store, stack.settings.partitions)
    booked: dict[int, int] = {}
    until = time.monotonic() + seconds
    waits = stack.settings.durability != "none"

    async def look() -> None:
        while True:
            booked.update({p: checkpoint.position.n for p, checkpoint in (await read_checkpoints(database)).items()})
            await asyncio.sleep(CHECKPOINT_POLL_S)

    async def probe() -> list[tuple[float, float, float]]:
        found = []
        link = await store.nodes[0].link().open()
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0, LAG_PAUSE_MAX_S))  # noqa: S311 - spreads probes
            states, at = await outbox.states(outbox.roots), time.monotonic()
            if waits:
                commands = [call("barrier", outbox.roots[0]), ("WAITAOF", 1, 0, BARRIER_MS)]
                await link.exchange(commands, BARRIER_MS / 1000 + 1)
            durable = time.monotonic() if waits else at
            deadline = at + BOOKED_TIMEOUT_S
            while any(booked.get(p, 0) < state.n for p, state in states.items()):
                if time.monotonic() > deadline:
                    raise LoadTestError(f"not booked within {BOOKED_TIMEOUT_S:g} s")
                await asyncio.sleep(CHECKPOINT_POLL_S / 2)
            found.append((at, durable, time.monotonic()))
        await link.close()
        return found

    looking = asyncio.create_task(look())
    try:
        return [sample for own in await asyncio.gather(*(probe() for _ in range(LAG_PROBES))) for sample in own]
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await database.aclose()
        await store.aclose()


def _lag_rows(run: Run) -> list[Row]:
    name = run["durability"]
    rows = [Row(f"{name}: gifts per second", run["gifts_per_s"], "gifts", "", f"{run['samples']} samples of the lag")]
    for key, what in (("lag_ms", "lag"), ("barrier_ms", "of it until on disk"), ("beyond_ms", "beyond that")):
        if name != "none" or key == "lag_ms":
            rows += [Row(f"{name}: {what}, {p}", run[key][p], "ms") for p in ("p50", "p95", "max")]
    rows.append(Row(f"{name}: gifts per CPU-second of the aggregator, at this rate", run["gifts_per_cpu_s"], "gifts"))
    return rows
