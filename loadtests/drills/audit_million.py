"""The audit of a ledger of a million gifts: how long it takes and what it needs, at rest and under traffic."""

import time
from typing import Any

from loadtests.harness.debits import COINS, ROOMS, SENDERS
from loadtests.harness.fault_stack import Audit, FaultStack
from loadtests.harness.measure import cpu_s, tree_cpu_s
from loadtests.harness.producing import producing
from loadtests.harness.results import Result, Row

ENTRIES_TIMEOUT_S = 900.0
PRODUCER_START_S = 2.0
STOP_TIMEOUT_S = 60.0

Run = dict[str, Any]


def audit_million(gifts: int, rate: float) -> Result:
    """Audit a ledger of so many gifts, at rest and under traffic."""
    with FaultStack() as stack:
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
            traffic = producer.end(STOP_TIMEOUT_S, now=True)
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


def _wait_all_read(stack: FaultStack) -> None:
    def done() -> bool:
        time.sleep(0.5)  # each look costs the servers something
        states = stack.partition_states().values()
        return all(state.n == state.booked.n == state.relayed.n for state in states)

    stack.wait_until(done, "everything is booked and published", ENTRIES_TIMEOUT_S)


def _audit(stack: FaultStack) -> tuple[Audit, float, float]:
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
