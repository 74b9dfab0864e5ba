"""One busy room with many viewers, all processes running, watched in three ways."""

import time
from dataclasses import asdict, dataclass

from loadtests.harness.contenders import livegift
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import percentiles, pin, two_cores
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import (
    CONNECTS_PER_S,
    ONE_ADDRESS,
    Cpu,
    Found,
    added_up,
    settled,
    started,
    steady,
)


@dataclass(frozen=True, slots=True)
class OneRoom:
    """The load, and to how many."""

    rate: float = number(1_000.0, short=200.0, about="gifts per second")
    seconds: float = number(15.0, short=1.0, about="how long each of the three ways is under load")
    settle_s: float = number(3.0, short=1.0, about="how long what is under way at the end may take to arrive")
    viewers: int = number(1_000, short=20, about="viewers of the room")


def one_room(options: OneRoom) -> Result:
    """Run everything as in production, watched in three ways: all events raw, compressed, and with the default cap."""
    rows: list[Row] = []
    runs: list[dict[str, object]] = []
    for label, deflate, cap in (("raw", False, 0), ("compressed", True, 0), ("compressed, capped", True, 200)):
        run = _one_room(options, deflate=deflate, cap=cap)
        runs.append({"way": label, **run})
        note = ", ".join(f"{name} {share:.0%}" for name, share in run["cpu"].items())
        rows += [
            Row(f"{label}: seen by viewers, p50", run["late_ms"]["p50"], "ms"),
            Row(f"{label}: seen by viewers, p99", run["late_ms"]["p99"], "ms", "<= 150"),
            Row(f"{label}: the sender's own result, p99", run["result_ms"]["p99"], "ms"),
            Row(f"{label}: CPU of the web process", run["cpu"]["web"] * 100, "% of a core", note=note),
            Row(f"{label}: bandwidth", run["megabytes_per_s"], "MB/s", note=f"{run['frames_per_s']:,.0f} frames/s"),
            Row(f"{label}: viewers with the same bytes", run["same_bytes"], f"of {options.viewers:,}"),
            Row(
                f"{label}: gifts in the ledger",
                run["ledger"][0],
                "gifts",
                note=f"a viewer adds up {run['added_up'][0]}",
            ),
            Row(f"{label}: violations", run["violations"], "", "0"),
        ]
    return Result(rows, asdict(options), runs)


def _one_room(options: OneRoom, *, deflate: bool, cap: int) -> Found:
    cores = two_cores()
    with FaultStack(room_events_max=cap, **ONE_ADDRESS) as stack:
        started(stack)
        if cores is not None:
            pin(stack.pid("web"), cores[0])
        server = livegift(stack, stack.pid("web"))
        with recorder(
            server.address,
            server.path,
            options.viewers,
            server.scripts,
            2,
            deflate=deflate,
            per_s=CONNECTS_PER_S,
            cores=cores[1] if cores else None,
        ) as viewers:
            viewers.wait_ready()
            cpu = Cpu(stack)
            load = steady(stack, options.rate)
            time.sleep(options.seconds)
            sent = load.end()
            shares = cpu.shares()
            time.sleep(options.settle_s)
            recording = viewers.stop()
        ledger, audit = settled(stack, sent)
    if ledger != (sent["accepted"], sent["coins"]):
        raise LoadTestError(f"senders were told of {sent}, the ledger has {ledger}")
    totals = added_up(recording, 0)
    if totals != ledger:
        raise LoadTestError(f"a viewer adds up {totals}, the ledger has {ledger}")
    shown = recording.shown()
    return {
        "sent": sent,
        "cpu": shares,
        "late_ms": percentiles(list(shown.late_ms)),
        "result_ms": sent["result_ms"],
        "frames_per_s": shown.frames / options.seconds,
        "deliveries": shown.deliveries,
        "megabytes_per_s": shown.payload_bytes / 1e6 / options.seconds,
        "same_bytes": max(recording.byte_sequences().values()),
        "ledger": ledger,
        "added_up": totals,
        "violations": len(audit.violations) + (audit.exit_code != 0),
    }
