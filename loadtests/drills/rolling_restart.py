"""Web processes are restarted one after the other under a busy room: what viewers miss."""

import time
from dataclasses import asdict, dataclass

from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.options import number
from loadtests.harness.results import Result, Row
from loadtests.harness.room_drill import ONE_ADDRESS, ROOM, Background, settled, started, steady


@dataclass(frozen=True, slots=True)
class RollingRestart:
    """The load, to how many, and how long each step takes."""

    rate: float = number(200.0, short=50.0, about="gifts per second")
    viewers: int = number(500, short=20, about="viewers, on both processes")
    drain_s: float = number(4.0, short=1.0, about="over how long a process that stops sends its viewers away")
    settle_s: float = number(3.0, short=1.0, about="load between two steps")
    seed: int = number(1, short=1, about="of the moments at which viewers come back", least=0)


def rolling_restart(options: RollingRestart) -> Result:
    """Restart two web processes, one after the other stopped with SIGTERM and started again."""
    with FaultStack(room_events_max=0, drain_s=options.drain_s, **ONE_ADDRESS) as stack:
        started(stack)
        stack.start("web 2")
        stack.wait_ready()
        argv = ["-m", "loadtests.clients.audience", "--room", ROOM, "--viewers", str(options.viewers)]
        argv += ["--seed", str(options.seed)]
        for address in stack.addresses.values():
            argv += ["--address", address]
        audience = Background(stack, argv, "watching")
        load = steady(stack, options.rate)
        time.sleep(options.settle_s)
        stops = []
        for name in ("web", "web 2"):
            since = time.monotonic()
            stack.stop(name)
            stops.append(time.monotonic() - since)
            stack.start(name)
            stack.wait_ready()
            time.sleep(options.settle_s)
        sent = load.end()
        time.sleep(options.settle_s)
        seen = audience.end()
        ledger, audit = settled(stack, sent)
    spread = seen["byes_ms"]
    rows = [
        Row(
            "gifts accepted",
            sent["accepted"],
            "gifts",
            note=f"{sent['reconnects']} connections of senders were opened again",
        ),
        Row("gifts in the ledger", ledger[0], "gifts"),
        Row("viewers came back", seen["returns"], "times", note=f"{options.viewers} viewers, closed: {seen['closed']}"),
        Row("told to come back after, p5 to p95", spread[len(spread) * 95 // 100] - spread[len(spread) // 20], "ms"),
        Row("viewers who miss or double anything", seen["wrong"] + seen["not_adding_up"], "", "0"),
        Row("viewers saw", len(seen["seen"]), "different sums", note=str(seen["seen"])[:80]),
        Row("a process took to stop", max(stops), "s"),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    setup: dict[str, object] = asdict(options) | {"web_processes": 2}
    return Result(rows, setup, [{"sent": sent, "seen": {k: v for k, v in seen.items() if k != "joined_at"}}])
