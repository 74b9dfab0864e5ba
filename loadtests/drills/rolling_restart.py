"""Web processes are restarted one after the other under a busy room: what viewers miss."""

import time

from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import DRAIN_S, ONE_ADDRESS, ROOM, Background, settled, started, steady


def rolling_restart(per_s: float, viewers_count: int) -> Result:
    """Two web processes, one after the other stopped with SIGTERM and started again."""
    with FaultStack(room_events_max=0, drain_s=4.0, **ONE_ADDRESS) as stack:
        started(stack)
        stack.start("web 2")
        stack.wait_ready()
        argv = ["-m", "loadtests.clients.audience", "--room", ROOM, "--viewers", str(viewers_count)]
        for address in stack.addresses.values():
            argv += ["--address", address]
        audience = Background(stack, argv, "watching")
        load = steady(stack, per_s)
        time.sleep(DRAIN_S)
        stops = []
        for name in ("web", "web 2"):
            since = time.monotonic()
            stack.stop(name)
            stops.append(time.monotonic() - since)
            stack.start(name)
            stack.wait_ready()
            time.sleep(DRAIN_S)
        sent = load.end()
        time.sleep(DRAIN_S)
        seen = audience.end()
        ledger, audit = settled(stack, sent)
    spread = seen["byes_ms"]
    rows = [
        Row(
            "gifts accepted",
            sent["accepted"],
            "gifts",
            note=f"{sent['reconnects']} connections of senders were made anew",
        ),
        Row("gifts in the ledger", ledger[0], "gifts"),
        Row("viewers came back", seen["returns"], "times", note=f"{viewers_count} viewers, closed: {seen['closed']}"),
        Row("told to come back after, p5 to p95", spread[len(spread) * 95 // 100] - spread[len(spread) // 20], "ms"),
        Row("viewers who miss or double anything", seen["wrong"] + seen["not_adding_up"], "", "0"),
        Row("viewers saw", len(seen["seen"]), "different sums", note=str(seen["seen"])[:80]),
        Row("a process took to stop", max(stops), "s"),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    setup: dict[str, object] = {"viewers": viewers_count, "gifts_per_s": per_s, "web_processes": 2, "drain_s": 4.0}
    return Result(rows, setup, [{"sent": sent, "seen": {k: v for k, v in seen.items() if k != "joined_at"}}])
