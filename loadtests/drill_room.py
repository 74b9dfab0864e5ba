"""One busy room with a thousand viewers, all processes running: as it is, with stalled readers, over restarts."""

import json
import subprocess
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import psycopg

from loadtests import processes
from loadtests.bench_fan_out import livegift
from loadtests.drill_stack import COINS, Audit, DrillStack
from loadtests.measure import cpu_s, memory_kib, percentiles, pin, tree_cpu_s, two_cores
from loadtests.processes import LoadTestError, tail
from loadtests.recorder import Recording, recorder
from loadtests.results import Result, Row

ROOM = "bench"
SENDERS = 20
VIEWERS = 1_000
CONNECTS_PER_S = 400
DRAIN_S = 3.0
CLIENT_TIMEOUT_S = 120.0
POLL_S = 0.05
LOOKED_AT = 3  # of the stalled viewers
ONE_ADDRESS = {"connections_per_address_max": 0, "connects_per_s_max": 0}  # everybody comes from this machine
Found = dict[str, Any]


class Background:
    """A client that works until it is asked for its summary."""

    def __init__(self, stack: DrillStack, argv: list[str], word: str) -> None:
        """Returns once the client has said `word`."""
        self._stack, self._name = stack, argv[1].rpartition(".")[2]
        self._said = stack.folder / f"{self._name}-{time.monotonic_ns()}.said"
        with self._said.open("wb") as stdout, stack.log(self._name).open("ab") as stderr:
            self.process = processes.start(argv, stack.environ(), stdout=stdout, stderr=stderr)
        self._wait(lambda: self._said.read_text().startswith(word), f"{self._name} says {word}")

    def _wait(self, predicate: Any, what: str) -> None:
        deadline = time.monotonic() + CLIENT_TIMEOUT_S
        while not predicate():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise LoadTestError(f"not: {what}\n{tail(self._stack.log(self._name))}")
            time.sleep(POLL_S)

    def end(self) -> Found:
        """Ask for the summary."""
        self.process.terminate()
        try:
            self.process.wait(CLIENT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise LoadTestError(f"{self._name} does not end") from None
        if self.process.returncode:
            raise LoadTestError(
                f"{self._name} ended with {self.process.returncode}\n{tail(self._stack.log(self._name))}"
            )
        found: Found = json.loads(self._said.read_text().splitlines()[-1])
        return found


def steady(stack: DrillStack, per_s: float) -> Background:
    """Gifts into the room at that rate."""
    argv = ["-m", "loadtests.clients.steady", "--room", ROOM, "--run", f"s{time.monotonic_ns()}"]
    for address in stack.addresses.values():
        argv += ["--address", address]
    return Background(stack, [*argv, "--connections", str(SENDERS), "--per-s", str(per_s)], "sending")


def started(stack: DrillStack) -> None:
    """All processes, the room, and senders with coins."""
    for name in ("web", "relay", "aggregator"):
        stack.start(name)
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.grant({f"sender-{number}": COINS for number in range(SENDERS)})


def booked(stack: DrillStack) -> tuple[int, int]:
    """Gifts and coins of the room in the ledger, once everything is booked."""
    stack.wait_until(lambda: (lag := stack.lag())[0] == lag[1], "everything is booked", CLIENT_TIMEOUT_S)
    with psycopg.connect(stack.postgres.url) as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum(coins), 0) FROM gifts WHERE room = %s", (ROOM,)
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    return int(row[0]), int(row[1])


def settled(stack: DrillStack, sent: dict[str, Any]) -> tuple[tuple[int, int], Audit]:
    """What is `booked`, and what the audit says. Raises LoadTestError when a sender got no answer, or no gift."""
    if sent["unanswered"] or sent["rejected"]:
        raise LoadTestError(f"senders were told of {sent}")
    return booked(stack), stack.audit()


def added_up(recording: Recording, connection: int) -> tuple[int, int]:
    """Gifts and coins that one viewer adds up: its last snapshot's totals, and every event since."""
    gifts = coins = 0
    for _, text in recording.frames_of(connection):
        frame = json.loads(text)
        if frame["type"] == "room.snapshot":
            gifts, coins = frame["totals"]["gifts"], frame["totals"]["coins"]
        if frame["type"] != "room.events":
            continue
        for event in frame["events"]:
            if event["type"] == "gift" and event["count"]:
                gifts += event.get("merged", 1)
                coins += event["coins"]
        if "omitted" in frame:
            gifts += frame["omitted"]["count"]
            coins += frame["omitted"]["coins"]
    return gifts, coins


class Cpu:
    """Seconds of CPU by process since it was made."""

    def __init__(self, stack: DrillStack) -> None:
        """Begins to count."""
        self._pids = {name: stack.pid(name) for name in ("web", "relay", "aggregator")} | {"redis": stack.redis.pid}
        self._postgres = stack.postgres.pid
        self._before = self._now()
        self._since = time.monotonic()

    def _now(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self._pids.items()} | {"postgresql": tree_cpu_s(self._postgres)}

    def shares(self) -> dict[str, float]:
        """Of one core."""
        took_s = time.monotonic() - self._since
        return {name: (now - self._before[name]) / took_s for name, now in self._now().items()}


def one_room(per_s: float, seconds: float) -> Result:
    """Everything as in production, three ways to look on: all events raw, compressed, and with the default cap."""
    rows: list[Row] = []
    runs: list[dict[str, object]] = []
    for label, deflate, cap in (("raw", False, 0), ("compressed", True, 0), ("compressed, capped", True, 200)):
        run = _one_room(per_s, seconds, deflate=deflate, cap=cap)
        runs.append({"way": label, **run})
        note = ", ".join(f"{name} {share:.0%}" for name, share in run["cpu"].items())
        rows += [
            Row(f"{label}: seen by viewers, p50", run["late_ms"]["p50"], "ms"),
            Row(f"{label}: seen by viewers, p99", run["late_ms"]["p99"], "ms", "<= 150"),
            Row(f"{label}: the sender's own result, p99", run["result_ms"]["p99"], "ms"),
            Row(f"{label}: CPU of the web process", run["cpu"]["web"] * 100, "% of a core", note=note),
            Row(f"{label}: bandwidth", run["megabytes_per_s"], "MB/s", note=f"{run['frames_per_s']:,.0f} frames/s"),
            Row(f"{label}: viewers with the same bytes", run["same_bytes"], f"of {VIEWERS:,}"),
            Row(
                f"{label}: gifts in the ledger",
                run["ledger"][0],
                "gifts",
                note=f"a viewer adds up {run['added_up'][0]}",
            ),
            Row(f"{label}: violations", run["violations"], "", "0"),
        ]
    setup: dict[str, object] = {"viewers": VIEWERS, "gifts_per_s": per_s, "seconds": seconds}
    return Result(rows, setup, runs)


def _one_room(per_s: float, seconds: float, *, deflate: bool, cap: int) -> Found:
    cores = two_cores()
    with DrillStack(room_events_max=cap, **ONE_ADDRESS) as stack:
        started(stack)
        if cores is not None:
            pin(stack.pid("web"), cores[0])
        server = livegift(stack, stack.pid("web"))
        with recorder(
            server.address,
            server.path,
            VIEWERS,
            server.scripts,
            2,
            deflate=deflate,
            per_s=CONNECTS_PER_S,
            cores=cores[1] if cores else None,
        ) as viewers:
            viewers.wait_ready()
            cpu = Cpu(stack)
            load = steady(stack, per_s)
            time.sleep(seconds)
            sent = load.end()
            shares = cpu.shares()
            time.sleep(DRAIN_S)
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
        "frames_per_s": shown.frames / seconds,
        "deliveries": shown.deliveries,
        "megabytes_per_s": shown.payload_bytes / 1e6 / seconds,
        "same_bytes": max(recording.byte_sequences().values()),
        "ledger": ledger,
        "added_up": totals,
        "violations": len(audit.violations) + (audit.exit_code != 0),
    }


def stalled_readers(per_s: float, stalled: int, seconds: float) -> Result:
    """Some viewers read nothing for a while; the others and the process' memory are watched."""
    with DrillStack(room_events_max=0, **ONE_ADDRESS) as stack:
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


def redis_restart(per_s: float, seconds: float) -> Result:
    """Redis is killed under load and started again on its data."""
    with DrillStack(room_events_max=0, **ONE_ADDRESS) as stack:
        started(stack)
        server = livegift(stack, stack.pid("web"))
        with recorder(
            server.address, server.path, VIEWERS, server.scripts, 2, deflate=True, per_s=CONNECTS_PER_S
        ) as viewers:
            viewers.wait_ready()
            load = steady(stack, per_s)
            time.sleep(seconds)
            killed_ns = time.monotonic_ns()
            stack.redis.kill()
            stack.restart_redis()
            stack.wait_armed()
            armed_s = (time.monotonic_ns() - killed_ns) / 1e9
            time.sleep(seconds)
            sent = load.end()
            time.sleep(DRAIN_S)
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
        Row("viewers lost their connection", recording.summary["lost"], f"of {VIEWERS:,}"),
        Row("gifts accepted", sent["accepted"], "gifts", note=f"{sent['repeated']} sent again, all answered"),
        Row("gifts in the ledger", ledger[0], "gifts", note=f"{sent['duplicates']} had been accepted before the kill"),
        Row("a viewer adds up the ledger", float(added_up(recording, 0) == ledger), ""),
        Row("violations", len(audit.violations) + (audit.exit_code != 0), "", "0"),
    ]
    setup: dict[str, object] = {"viewers": VIEWERS, "gifts_per_s": per_s}
    return Result(rows, setup, [{"sent": sent, "frames_after": dict(kinds), "armed_s": armed_s}])


def rolling_restart(per_s: float, viewers_count: int) -> Result:
    """Two web processes, one after the other stopped with SIGTERM and started again."""
    with DrillStack(room_events_max=0, drain_s=4.0, **ONE_ADDRESS) as stack:
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
