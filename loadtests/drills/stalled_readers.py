"""Some viewers of a busy room stop reading: what the others and the memory of the web process notice."""

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass

from loadtests.harness.contenders import livegift
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.measure import memory_kib, percentiles
from loadtests.harness.options import number
from loadtests.harness.recorder import Recording, recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import CONNECTS_PER_S, ONE_ADDRESS, added_up, settled, started, steady

LOOKED_AT = 3  # of the stalled viewers
SAMPLE_S = 1.0


@dataclass(frozen=True, slots=True)
class StalledReaders:
    """The load, who reads, and for how long the others do not."""

    rate: float = number(1_000.0, short=200.0, about="gifts per second")
    seconds: float = number(120.0, short=3.0, about="how long nothing is read")
    settle_s: float = number(3.0, short=1.0, about="load after that, and how long the last of it may take to arrive")
    viewers: int = number(1_000, short=20, about="viewers who read")
    stalled: int = number(200, short=5, about="viewers who do not", least=LOOKED_AT)


def stalled_readers(options: StalledReaders) -> Result:
    """Let some viewers read nothing for a while; watch the others and the process' memory."""
    stalled = options.stalled
    with FaultStack(room_events_max=0, **ONE_ADDRESS) as stack:
        started(stack)
        web = stack.pid("web")
        server = livegift(stack, web)
        with recorder(
            server.address,
            server.path,
            options.viewers + stalled,
            server.scripts,
            2,
            deflate=True,
            stalled=stalled,
            per_s=CONNECTS_PER_S,
        ) as viewers:
            viewers.wait_ready()
            load = steady(stack, options.rate)
            memory_mib = _watch_memory(web, options.seconds)
            woken_ns = time.monotonic_ns()
            viewers.wake()
            time.sleep(options.settle_s)
            sent = load.end()
            time.sleep(options.settle_s)
            recording = viewers.stop()
        ledger, audit = settled(stack, sent)
    codes = Counter(one.close_code for one in recording.connected[:stalled])
    after = _read_after(recording, woken_ns)
    late = percentiles(_late_ms_of_the_others(recording, stalled))
    rss = [value for _, value in memory_mib]
    closed = f"codes {dict(codes)} (4408 is behind what they don't read); three of them then read {dict(after)}"
    rows = [
        Row("memory of the web process before", rss[0], "MiB", note=f"{options.viewers + stalled:,} viewers"),
        Row("at most", max(rss), "MiB"),
        Row("at the end", rss[-1], "MiB"),
        Row("the others: seen, p50", late["p50"], "ms"),
        Row("the others: seen, p99", late["p99"], "ms", "<= 150"),
        Row("stalled viewers closed meanwhile", stalled - codes[0], f"of {stalled}", note=closed),
        Row(
            "a viewer adds up the ledger", float(added_up(recording, stalled) == ledger), "", note=f"{ledger[0]} gifts"
        ),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    run: dict[str, object] = {"memory_mib": memory_mib, "late_ms": late, "codes": dict(codes), "sent": sent}
    return Result(rows, asdict(options), [run])


def _watch_memory(pid: int, seconds: float) -> list[tuple[float, float]]:
    """Return (seconds, MiB) of a process, once a second for so long."""
    found = []
    since = time.monotonic()
    while time.monotonic() < since + seconds:
        found.append((round(time.monotonic() - since, 1), memory_kib(pid)["rss"] / 1024))
        time.sleep(SAMPLE_S)
    return found


def _late_ms_of_the_others(recording: Recording, stalled: int) -> list[float]:
    """Return how late each frame's oldest event came to a viewer who reads."""
    return [
        (at - recording.meant_at_ns[text][0]) / 1e6
        for who, text, at in zip(recording.connections, recording.texts, recording.at_ns, strict=True)
        if who >= stalled and recording.meant_at_ns[text]
    ]


def _read_after(recording: Recording, woken_ns: int) -> Counter[str]:
    """Return which frames a few of the stalled viewers read once they read again."""
    found: Counter[str] = Counter()
    for stalled in range(LOOKED_AT):
        found.update(json.loads(text)["type"] for at, text in recording.frames_of(stalled) if at >= woken_ns)
    return found
