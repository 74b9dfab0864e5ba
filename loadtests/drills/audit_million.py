"""The audit of a ledger of a million gifts: how long it takes and what it needs, at rest and under traffic."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.harness.debits import COINS, ROOMS
from loadtests.harness.fault_stack import Audit, FaultStack
from loadtests.harness.measure import cpu_s, tree_cpu_s
from loadtests.harness.options import number
from loadtests.harness.producing import producing
from loadtests.harness.results import Result, Row

ENTRIES_TIMEOUT_S = 900.0
PRODUCER_START_S = 2.0
STOP_TIMEOUT_S = 60.0

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditMillion:
    """The size of the ledger, and the load beside the audit."""

    gifts: int = number(1_000_000, short=2_000, about="gifts in the ledger, a multiple of the senders", least=1_000)
    senders: int = number(1_000, short=100, about="senders of the gifts")
    rate: float = number(500.0, short=100.0, about="gifts per second beside the audit under traffic")


def audit_million(options: AuditMillion) -> Result:
    """Audit a ledger of so many gifts, at rest and under traffic."""
    with FaultStack() as stack:
        stack.start_all(users=0, rooms=0)
        for turn in range(min(ROOMS, options.senders)):
            stack.open_room(f"room-{turn}", f"creator-{turn}")
        stack.grant({f"sender-{turn}": COINS for turn in range(options.senders)})
        since = time.monotonic()
        senders = ("--senders", str(options.senders))
        with producing(stack, *senders, "--gifts", str(options.gifts)) as producer:
            filled = producer.end(ENTRIES_TIMEOUT_S, now=False)
        _wait_all_read(stack)
        booked_s = time.monotonic() - since
        quiet = _audit(stack)
        with producing(stack, *senders, "--rate", str(options.rate)) as producer:
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
    setup: dict[str, object] = asdict(options) | {"rooms": ROOMS}
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
