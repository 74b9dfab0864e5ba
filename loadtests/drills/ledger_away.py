"""PostgreSQL is away for minutes: gifting goes on, bookings wait in Redis, then catch up."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise

from livegift.contract.errors import LivegiftError
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.trace import Trace

USERS, ROOMS = 50, 10
SAMPLE_S = 1.0
TIMELINE_STEP_S = 1.0
CAUGHT_UP_TIMEOUT_S = 300.0
FSYNC_PERIOD_S = 1.0  # a gift is booked when it is on disk: with `appendfsync everysec` so much always waits
LAG_SPARE = 1.5  # lag counts as back when it is at most so many times what it was before

Samples = list[tuple[float, int, int]]


@dataclass(frozen=True, slots=True)
class LedgerAway:
    """The load, and how long each phase is."""

    rate: float = number(1_000.0, short=200.0, about="gifts per second")
    warm_up_s: float = number(3.0, short=1.0, about="load before anything is measured")
    before_s: float = number(20.0, short=2.0, about="load before PostgreSQL stops, and after it has caught up")
    away_s: float = number(120.0, short=3.0, about="how long PostgreSQL is stopped")


def ledger_away(options: LedgerAway) -> Result:
    """Stop PostgreSQL for a while. Raises LoadTestError when the ledger does not catch up."""
    samples: Samples = []
    with FaultStack() as stack:
        stack.start_all(USERS, ROOMS)
        load = stack.load(rate=options.rate, users=USERS, rooms=ROOMS)
        time.sleep(options.warm_up_s)
        began = time.monotonic()
        _sample(stack, samples, options.before_s)
        stopping = time.monotonic()
        stack.postgres.stop()
        stopped = time.monotonic()
        _sample(stack, samples, options.away_s)
        starting = time.monotonic()
        stack.restart_postgres()
        started = time.monotonic()
        # A few samples, taken in step with Redis's fsyncs, can all miss what waits for the next one.
        before = [written - booked for at, written, booked in samples if at < stopping]
        usual = max(*before, options.rate * FSYNC_PERIOD_S) * LAG_SPARE
        deadline = started + CAUGHT_UP_TIMEOUT_S
        while (lag := _sample(stack, samples, 0.0)) > usual:
            if time.monotonic() > deadline:
                raise LoadTestError(f"{CAUGHT_UP_TIMEOUT_S:g} s after PostgreSQL is back, {lag} entries wait")
        caught_up = samples[-1][0]
        _sample(stack, samples, options.before_s)
        ended = time.monotonic()
        trace = load.end()
        audit = stack.audit()
    phases = {"before": (began, stopping), "away": (stopped, starting), "catching up": (started, caught_up),
              "after": (caught_up, ended)}  # fmt: skip
    rows = _gifting_rows(trace, phases)
    rows += _lag_rows(samples, stopping, started, caught_up)
    rows.append(Row("`livegift audit`, exit code", audit.exit_code, "", "0", f"{audit.seconds:.1f} s"))
    setup: dict[str, object] = asdict(options) | {"senders": USERS, "rooms": ROOMS}
    run: dict[str, object] = {
        "lag_curve": [{"t": round(at - stopping, 2), "written": w, "booked": b, "lag": w - b} for at, w, b in samples],
        "answers_per_s": trace.timeline(began, ended, TIMELINE_STEP_S, stopping),
        "fates": trace.fates(),
        "violations": audit.violations,
    }
    return Result(rows, setup, [run])


def _sample(stack: FaultStack, samples: Samples, seconds: float) -> int:
    """Note what is written and booked every second, for so long but once at least; returns the last lag."""
    until = time.monotonic() + seconds
    while True:
        at = time.monotonic()
        with suppress(LivegiftError):
            samples.append((at, *stack.lag()))
        time.sleep(max(SAMPLE_S - (time.monotonic() - at), 0.0))
        if time.monotonic() >= until:
            return samples[-1][1] - samples[-1][2]


def _gifting_rows(trace: Trace, phases: dict[str, tuple[float, float]]) -> list[Row]:
    rows = []
    for name, (begin, end) in phases.items():
        counts, took = trace.counts(begin, end), trace.latency(begin, end)
        others = {outcome: count for outcome, count in counts.items() if outcome != "accepted"}
        note = f"of {counts.total()} sent, not accepted: {others or 0}"
        rows.append(Row(f"{name} ({end - begin:.0f} s): gifts accepted", counts["accepted"] / (end - begin), "/s", "",
                        note))  # fmt: skip
        if took:
            rows += [Row(f"{name}: result latency {name_}", took[name_], "ms") for name_ in ("p50", "p99", "max")]
    return rows


def _lag_rows(samples: Samples, stopping: float, started: float, caught_up: float) -> list[Row]:
    lags = [(at, written - booked) for at, written, booked in samples]
    behind = [(at, booked) for at, _, booked in samples if started <= at <= caught_up]
    begin = next(booked for at, _, booked in reversed(samples) if at <= started)
    rates = [(b - a) / (t - s) for (s, a), (t, b) in pairwise([(started, begin), *behind])]
    mean = (behind[-1][1] - begin) / max(caught_up - started, SAMPLE_S)
    return [
        Row("lag before, largest", max(lag for at, lag in lags if at < stopping), "entries"),
        Row("lag when PostgreSQL was back", max(lag for _, lag in lags), "entries"),
        Row("booked while catching up, mean", mean, "entries/s", "", "while new gifts kept coming"),
        Row("booked while catching up, best second", max(rates, default=0.0), "entries/s"),
        Row("from PostgreSQL's first answer until the lag was as before", caught_up - started, "s"),
    ]
