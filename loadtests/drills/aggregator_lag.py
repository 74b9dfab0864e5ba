"""How far the ledger is behind at thousands of gifts a second, and how much of that is the wait for the disk."""

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.store.client import Store
from livegift.store.functions.partitions import barrier
from livegift.store.outbox import Outbox
from loadtests.bench.aggregator import Aggregator, aggregator
from loadtests.harness.debits import COINS, ROOMS
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import CPU_STEP_S, cpu_s, memory_kib, percentiles, pin, two_cores
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.producing import producing
from loadtests.harness.results import Result, Row

LAG_PROBES = 8
LAG_PAUSE_MAX_S = 0.5
CHECKPOINT_POLL_S = 0.02
BOOKED_TIMEOUT_S = 60.0
BARRIER_MS = 5_000
BEHIND_S = 0.5  # a producer that was later than this did not keep its rate
DURABILITIES = ("none", "fsync")

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AggregatorLag:
    """The load of both measurements."""

    rate: float = number(5_000.0, short=500.0, about="gifts per second while the lag is measured")
    warm_up_s: float = number(2.0, short=0.5, about="load before the lag is measured")
    seconds: float = number(20.0, short=2.0, about="how long the lag is measured")
    gifts: int = number(100_000, short=2_000, about="gifts of each catching up, a multiple of the senders", least=1_000)
    rounds: int = number(2, short=1, about="repetitions of the catching up")
    senders: int = number(1_000, short=100, about="senders of the gifts")
    seed: int = number(1, short=1, about="of the moments at which the lag is measured", least=0)


def aggregator_lag(options: AggregatorLag) -> Result:
    """Measure gifts per CPU-second as the benchmark does, then the lag at a rate, with and without a barrier."""
    bench = aggregator(Aggregator(rounds=options.rounds, gifts=options.gifts, senders=options.senders))
    runs = [_lag(durability, options) for durability in DURABILITIES]
    rows = [bench.rows[0], *(row for run in runs for row in _lag_rows(run))]
    doubts = [
        f"{run['durability']}: the producer was up to {run['producer']['late_max_s']:.1f} s late"
        for run in runs
        if run["producer"]["late_max_s"] > BEHIND_S
    ]
    setup: dict[str, object] = asdict(options) | {
        "rooms": ROOMS, "relay": "not running", "pinned": two_cores() is not None,
    }  # fmt: skip
    return Result(rows, setup, [*bench.runs, *runs], doubts)


def _lag(durability: str, options: AggregatorLag) -> Run:
    cores = two_cores()
    with FaultStack(durability=durability) as stack:
        for name in ("web", "aggregator"):
            stack.start(name)
        stack.wait_ready()
        stack.stop("web")
        stack.grant({f"sender-{turn}": COINS for turn in range(options.senders)})
        with producing(stack, "--rate", str(options.rate), "--senders", str(options.senders)) as producer:
            pid = stack.pid("aggregator")
            if cores is not None:
                pin(producer.process.pid, cores[1])
                pin(pid, cores[0])
            time.sleep(options.warm_up_s)
            used, memory = cpu_s(pid), memory_kib(pid)
            before, since = stack.gifts_accepted(), time.monotonic()
            lags = asyncio.run(_sample(stack, options))
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
        "gifts_per_cpu_s": gifts / max(cpu, CPU_STEP_S),
        "rss_kib": memory["rss"],
        "producer": said,
    }


async def _sample(stack: FaultStack, options: AggregatorLag) -> list[tuple[float, float, float]]:
    """(written, on disk, booked) of moments spread over the interval, all partitions of each moment together."""
    store, database = await Store.connect(stack.settings.redis_url), Database(stack.settings.database_url)
    outbox = Outbox(store, stack.settings.partitions)
    booked: dict[int, int] = {}
    until = time.monotonic() + options.seconds
    moments = random.Random(options.seed)  # noqa: S311 - spreads probes
    waits = stack.settings.durability != "none"

    async def look() -> None:
        while True:
            booked.update({p: checkpoint.position.n for p, checkpoint in (await read_checkpoints(database)).items()})
            await asyncio.sleep(CHECKPOINT_POLL_S)

    async def probe() -> list[tuple[float, float, float]]:
        found = []
        link = await store.nodes[0].link().open()
        while time.monotonic() < until:
            await asyncio.sleep(moments.uniform(0, LAG_PAUSE_MAX_S))
            states, at = await outbox.states(outbox.roots), time.monotonic()
            if waits:
                commands = [barrier(outbox.roots[0]), ("WAITAOF", 1, 0, BARRIER_MS)]
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
