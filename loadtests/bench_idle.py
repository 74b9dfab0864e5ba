"""Memory of the web process for a connection that said hello, joined a room and then only watches."""

import time
from collections.abc import Callable
from statistics import median

from loadtests.measure import cpu_s, memory_kib
from loadtests.processes import LoadTestError
from loadtests.results import Result, Row
from loadtests.stack import Stack

ROOMS = 10
ROOM = "idle"
WARM_UP_CONNECTIONS = 50  # what is loaded with the first connections belongs to none of them
SETTLE_S = 3.0
WATCH_S = 5.0
OPEN_TIMEOUT_S = 120.0


def idle(rounds: int, connections: int) -> Result:
    """Measure with `connections`, each round on a fresh web process."""
    runs: list[dict[str, object]] = []
    with Stack() as stack:
        web = stack.start("web")
        stack.wait_ready("/healthz")
        for number in range(ROOMS):
            stack.open_room(f"{ROOM}-{number}", "idle-creator")
        for number in range(rounds):
            if number:
                stack.stop("web")
                web = stack.start("web")
                stack.wait_ready("/healthz")
            runs.append(_measure(stack, web, connections))
    rows = [
        Row(
            f"{kind.upper()} of the web process per idle connection",
            median(float(str(run[f"{kind}_kib_per_connection"])) for run in runs),
            "KiB",
            "<= 20",
        )
        for kind in ("rss", "pss")
        if all(f"{kind}_kib_per_connection" in run for run in runs)
    ]
    share = median(float(str(run["cpu_share"])) for run in runs)
    rows.append(Row(f"CPU of the web process with {connections:,} of them", share * 100, "% of a core"))
    return Result(rows, {"connections": connections, "rooms": ROOMS, "rounds": rounds}, runs)


def _measure(stack: Stack, web: int, connections: int) -> dict[str, object]:
    _with_connections(stack, WARM_UP_CONNECTIONS, lambda: None)
    time.sleep(SETTLE_S)
    before = memory_kib(web)
    found: dict[str, object] = {"before_kib": before}

    def look() -> None:
        time.sleep(SETTLE_S)
        after = memory_kib(web)
        used = cpu_s(web)
        time.sleep(WATCH_S)
        found["after_kib"] = after
        found["cpu_share"] = (cpu_s(web) - used) / WATCH_S
        for kind, kib in after.items():
            found[f"{kind}_kib_per_connection"] = (kib - before[kind]) / connections

    _with_connections(stack, connections, look)
    return found


def _with_connections(stack: Stack, count: int, look: Callable[[], None]) -> None:
    """Have `count` connections open while `look` runs. Raises LoadTestError when some did not stay."""
    log = stack.log("idle")
    log.unlink(missing_ok=True)
    argv = ["-m", "loadtests.clients.idle", "--address", stack.address, "--room", ROOM, "--rooms", str(ROOMS)]
    stack.start_other("idle", [*argv, "--connections", str(count)], stack.environ())
    stack.wait_until(lambda: f"open {count}" in log.read_text(), f"{count} connections are open", OPEN_TIMEOUT_S)
    look()
    stack.stop("idle")
    if "lost 0 " not in log.read_text():
        raise LoadTestError(f"some of {count} idle connections were lost: {log.read_text()[-500:]}")
