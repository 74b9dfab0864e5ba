"""Connections that send all they can, or half a request and stop: what they cost everybody else, and what stops them.

Beside each flood another viewer sends gifts. The limits on what one connection may do are the defaults; those on how
often an address may connect and ask are lifted, since the flood and the viewer both come from this machine.
"""

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from subprocess import PIPE
from typing import Any

from livegift.dev.embedded.process import free_ports
from loadtests.clients.flood import BYTES_PER_S, HALVES_TIMEOUT_S, KINDS
from loadtests.clients.websocket import WebSocketClient, connect
from loadtests.harness import processes
from loadtests.harness.measure import cpu_s, memory_kib, percentiles
from loadtests.harness.metrics import refusals
from loadtests.harness.options import choices, number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

QUIET = "quiet"
PACE_S = 0.05
FLOOD_GRACE_S = 30.0
ROOM, CREATOR, USER = "flooded", "creator", "viewer"
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Floods:
    """Which kinds, how long, and how many at once."""

    kinds: tuple[str, ...] = choices(tuple(KINDS), short=tuple(KINDS), about="what the connections do")
    seconds: float = number(15.0, short=2.0, about="how long the viewer sends gifts beside each kind")
    connections: int = number(500, short=20, about="connections of the kinds that send half a request")


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit that is meant to stop a flood: how clients see it end, and what the web process counts for each."""

    name: str
    end: str  # how each connection ends, as clients/flood.py tells it
    event: str = ""
    reason: str = ""


LIMITS = {
    "pings": Limit("ODD_FRAMES_BURST_MAX", "4429 too many pings", "connection.closed", "too_fast"),
    "fragments": Limit("FRAGMENTS_PER_MESSAGE_MAX", "1009 expected a message in at most"),
    "hellos": Limit("REFUSED_IN_A_ROW_MAX, FRAME_UNITS_PER_COMMAND", "4429", "connection.closed", "too_fast"),
    "large frames": Limit("FRAME_UNITS_PER_COMMAND", "4429 more frames", "connection.closed", "too_fast"),
    "endless headers": Limit("h11_max_incomplete_event_size", "400"),
    "endless bodies": Limit("HTTP_BODY_BYTES_MAX, HTTP_WASTED_BYTES_MAX", "413", "socket.closed", "body goes on"),
    "half headers": Limit("HTTP_HEADERS_TIMEOUT_S", "408", "socket.closed", "no headers in time"),
    "half bodies": Limit("HTTP_BODY_TIMEOUT_S", "408", "socket.closed", "no body in time"),
}


def floods(options: Floods) -> Result:
    """Run one kind after the other. Raises LoadTestError when one was not stopped by the limit that is meant to."""
    with Stack(commands_per_s_max=50, metrics_port=free_ports(1)[0]) as stack:
        for name in ("aggregator", "relay", "web"):
            stack.start(name)
        stack.wait_ready()
        stack.open_room(ROOM, CREATOR)
        stack.wait_until(lambda: all(s.armed_epoch for s in stack.partition_states().values()), "partitions are armed")
        stack.grant({USER: 10_000_000})
        runs = [_beside(stack, kind, options) for kind in (QUIET, *options.kinds)]
    rows = []
    for run in runs:
        kind, late = run["kind"], run["result_ms"]
        rows += [
            Row(f"{kind}: gift.result, median", late["p50"], "ms", note=f"{run['gifts']} gifts"),
            Row(f"{kind}: gift.result, worst", late["max"], "ms"),
            Row(f"{kind}: CPU of the web process", run["cpu_share"] * 100, "% of a core"),
            Row(f"{kind}: memory after", run["rss_mib"], "MiB"),
        ]
        if kind != QUIET:
            flood = run["flood"]
            note = f"{LIMITS[kind].name}; {flood['bytes'] / 1e6:.1f} MB in {flood['seconds']:g} s, {flood['ends']}"
            rows.append(Row(f"{kind}: stopped", run["stopped"], f"of {flood['connections']} connections", note=note))
    return Result(rows, asdict(options) | {"bytes_per_s": BYTES_PER_S, "gifts_per_s": 1 / PACE_S}, runs)


def _beside(stack: Stack, kind: str, options: Floods) -> Run:
    """Send gifts beside a flood of this kind, or beside none."""
    pid, log = stack.pid("web"), stack.log("web")
    used, began, before = cpu_s(pid), time.monotonic(), refusals(log)
    run: Run = {"kind": kind}
    if kind == QUIET:
        late = asyncio.run(_gifts(stack, kind, options.seconds))
    else:
        argv = ["-m", "loadtests.clients.flood", stack.address, kind]
        argv += ["--seconds", str(options.seconds), "--connections", str(options.connections)]
        process = processes.start(argv, stack.environ(), stdout=PIPE)
        with processes.running(process):
            late = asyncio.run(_gifts(stack, kind, options.seconds))
            out, _ = process.communicate(timeout=HALVES_TIMEOUT_S + FLOOD_GRACE_S)
        if process.returncode:
            raise LoadTestError(f"the flood of {kind} ended with {process.returncode}")
        counted = {key: count - before.get(key, 0) for key, count in refusals(log).items() if count != before.get(key)}
        run["flood"] = json.loads(out)
        run["stopped"] = _stopped(kind, run["flood"], counted)
        run["refusals"] = {f"{event}: {reason}": count for (event, reason), count in counted.items()}
    return run | {
        "gifts": len(late),
        "result_ms": percentiles(late),
        "cpu_share": (cpu_s(pid) - used) / (time.monotonic() - began),
        "rss_mib": memory_kib(pid)["rss"] / 1024,
    }


def _stopped(kind: str, flood: Run, counted: dict[tuple[str, str], int]) -> int:
    """Return how many connections the limit has stopped: all, but the last of a flood that goes on to the end."""
    limit, ends = LIMITS[kind], flood["ends"]
    stopped = sum(count for end, count in ends.items() if end.startswith(limit.end))
    unstopped = flood["connections"] - stopped
    if not stopped or unstopped > (1 if KINDS[kind].piece else 0):
        raise LoadTestError(f"{kind}: expected {limit.name} to end each connection with {limit.end}, got {ends}")
    seen = counted.get((limit.event, limit.reason), 0)
    if limit.event and seen < stopped:
        raise LoadTestError(
            f"{kind}: expected the web process to count {limit.event}, {limit.reason} {stopped} times, got {counted}"
        )
    return stopped


async def _gifts(stack: Stack, kind: str, seconds: float) -> list[float]:
    """Send gifts one after the other for so long; return how long each result took, in ms."""
    viewer = await connect(stack.address, WebSocketClient)
    await viewer.ask("welcome", type="hello", token=stack.tokens.sign(USER, age_verified=True))
    late, until, run = [], time.monotonic() + seconds, kind.replace(" ", "-")
    while (sent := time.monotonic()) < until:
        await viewer.ask("gift.result", type="gift.send", ref=f"{run}-{sent}", room=ROOM, gift_id="rose")
        late.append((time.monotonic() - sent) * 1000)
        await asyncio.sleep(PACE_S)
    await viewer.close()
    return late
