"""Redis is killed under a busy room and started again on its data: how long viewers see nothing."""

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise

from loadtests.harness.contenders import livegift
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.options import number
from loadtests.harness.recorder import recorder
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import (
    CONNECTS_PER_S,
    ONE_ADDRESS,
    added_up,
    settled,
    started,
    steady,
)


@dataclass(frozen=True, slots=True)
class RedisRestart:
    """The load, and to how many."""

    rate: float = number(500.0, short=100.0, about="gifts per second")
    seconds: float = number(8.0, short=1.5, about="load before the kill, and after everything is armed")
    settle_s: float = number(3.0, short=1.0, about="how long what is under way at the end may take to arrive")
    viewers: int = number(1_000, short=20, about="viewers of the room")


def redis_restart(options: RedisRestart) -> Result:
    """Redis is killed under load and started again on its data."""
    with FaultStack(room_events_max=0, **ONE_ADDRESS) as stack:
        started(stack)
        server = livegift(stack, stack.pid("web"))
        with recorder(
            server.address, server.path, options.viewers, server.scripts, 2, deflate=True, per_s=CONNECTS_PER_S
        ) as viewers:
            viewers.wait_ready()
            load = steady(stack, options.rate)
            time.sleep(options.seconds)
            killed_ns = time.monotonic_ns()
            stack.redis.kill()
            stack.restart_redis()
            stack.wait_armed()
            armed_s = (time.monotonic_ns() - killed_ns) / 1e9
            time.sleep(options.seconds)
            sent = load.end()
            time.sleep(options.settle_s)
            recording = viewers.stop()
        ledger, audit = settled(stack, sent)
    kinds: Counter[str] = Counter()
    for at, text in recording.frames_of(0):
        if at > killed_ns:
            kinds[json.loads(text)["type"]] += 1
    told_ns = [at for at, text in recording.frames_of(0) if b'"room.events"' in text[:30] and at > killed_ns - 10**9]
    silent_s = max(later - before for before, later in pairwise(told_ns)) / 1e9
    rows = [
        Row("until all partitions were armed", armed_s, "s"),
        Row("viewers saw nothing for", silent_s, "s", note=f"then one of them got {dict(kinds)}"),
        Row("viewers lost their connection", recording.summary["lost"], f"of {options.viewers:,}"),
        Row("gifts accepted", sent["accepted"], "gifts", note=f"{sent['repeated']} sent again, all answered"),
        Row("gifts in the ledger", ledger[0], "gifts", note=f"{sent['duplicates']} had been accepted before the kill"),
        Row("a viewer adds up the ledger", float(added_up(recording, 0) == ledger), ""),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    return Result(rows, asdict(options), [{"sent": sent, "frames_after": dict(kinds), "armed_s": armed_s}])
