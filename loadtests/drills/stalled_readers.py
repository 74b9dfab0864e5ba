"""Some viewers of a busy room stop reading: what the others and the memory of the web process notice."""

import json
import time
from collections import Counter

from loadtests.harness.contenders import livegift
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import memory_kib, percentiles
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import (
    CONNECTS_PER_S,
    DRAIN_S,
    ONE_ADDRESS,
    VIEWERS,
    added_up,
    settled,
    started,
    steady,
)

LOOKED_AT = 3  # of the stalled viewers


def stalled_readers(per_s: float, stalled: int, seconds: float) -> Result:
    """Some viewers read nothing for a while; the others and the process' memory are watched."""
    with FaultStack(room_events_max=0, **ONE_ADDRESS) as stack:
        started(stack)
        web = stack.pid("web")
        server = livegift(stack, web)
        with recorder(
            server.address,
            server.path,
            VIEWERS + stalled,
            server.scripts,
            2,
            deflate=True,
            stalled=stalled,
            per_s=CONNECTS_PER_S,
        ) as viewers:
            viewers.wait_ready()
            load = steady(stack, per_s)
            memory: list[tuple[float, float]] = []
            since = time.monotonic()
            while time.monotonic() < since + seconds:
                memory.append((round(time.monotonic() - since, 1), memory_kib(web)["rss"] / 1024))
                time.sleep(1)
            woken_ns = time.monotonic_ns()
            viewers.wake()
            time.sleep(DRAIN_S)
            sent = load.end()
            time.sleep(DRAIN_S)
            recording = viewers.stop()
        ledger, audit = settled(stack, sent)
    others = [
        (at - recording.meant_at_ns[text][0]) / 1e6
        for who, text, at in zip(recording.connections, recording.texts, recording.at_ns, strict=True)
        if who >= stalled and recording.meant_at_ns[text]
    ]
    after: Counter[str] = Counter()
    for number in range(LOOKED_AT):
        after.update(json.loads(text)["type"] for at, text in recording.frames_of(number) if at >= woken_ns)
    codes = Counter(one.close_code for one in recording.connected[:stalled])
    late = percentiles(others)
    rss = [value for _, value in memory]
    rows = [
        Row("memory of the web process before", rss[0], "MiB", note=f"{VIEWERS + stalled:,} viewers"),
        Row("at most", max(rss), "MiB"),
        Row("at the end", rss[-1], "MiB"),
        Row("the others: seen, p50", late["p50"], "ms"),
        Row("the others: seen, p99", late["p99"], "ms", "<= 150"),
        Row(
            "stalled viewers closed meanwhile",
            stalled - codes[0],
            f"of {stalled}",
            note=f"codes {dict(codes)} (4408 is behind what they don't read); three of them then read {dict(after)}",
        ),
        Row(
            "a viewer adds up the ledger", float(added_up(recording, VIEWERS) == ledger), "", note=f"{ledger[0]} gifts"
        ),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    setup: dict[str, object] = {"viewers": VIEWERS, "stalled": stalled, "gifts_per_s": per_s, "seconds": seconds}
    return Result(rows, setup, [{"memory_mib": memory, "late_ms": late, "codes": dict(codes), "sent": sent}])
