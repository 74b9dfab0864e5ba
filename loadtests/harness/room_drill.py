"""One busy room on a whole system: its senders, its viewers' sums, the ledger's, and who used the CPU."""

import json
import subprocess
import time
from typing import Any

import psycopg

from loadtests.harness import processes
from loadtests.harness.fault_stack import COINS, Audit, FaultStack
from loadtests.harness.measure import cpu_s, tree_cpu_s
from loadtests.harness.processes import LoadTestError, tail
from loadtests.harness.recorder import Recording

ROOM = "bench"
SENDERS = 20
CONNECTS_PER_S = 400
CLIENT_TIMEOUT_S = 120.0
POLL_S = 0.05
ONE_ADDRESS = {"connections_per_address_max": 0, "connects_per_s_max": 0}  # everybody comes from this machine
Found = dict[str, Any]


class Background:
    """A client that works until it is asked for its summary."""

    def __init__(self, stack: FaultStack, argv: list[str], word: str) -> None:
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


def steady(stack: FaultStack, per_s: float) -> Background:
    """Gifts into the room at that rate."""
    argv = ["-m", "loadtests.clients.steady", "--room", ROOM, "--run", f"s{time.monotonic_ns()}"]
    for address in stack.addresses.values():
        argv += ["--address", address]
    return Background(stack, [*argv, "--connections", str(SENDERS), "--per-s", str(per_s)], "sending")


def started(stack: FaultStack) -> None:
    """All processes, the room, and senders with coins."""
    for name in ("web", "relay", "aggregator"):
        stack.start(name)
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.grant({f"sender-{number}": COINS for number in range(SENDERS)})


def booked(stack: FaultStack) -> tuple[int, int]:
    """Gifts and coins of the room in the ledger, once everything is booked."""
    stack.wait_until(lambda: (lag := stack.lag())[0] == lag[1], "everything is booked", CLIENT_TIMEOUT_S)
    with psycopg.connect(stack.postgres.url) as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum(coins), 0) FROM gifts WHERE room = %s", (ROOM,)
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    return int(row[0]), int(row[1])


def settled(stack: FaultStack, sent: dict[str, Any]) -> tuple[tuple[int, int], Audit]:
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

    def __init__(self, stack: FaultStack) -> None:
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
