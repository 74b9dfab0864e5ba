"""Redis is killed and comes back older, or not at all: who paid, who did not, what was lost and what was put back.

What a restart finds depends on what was lost with it, so each variant says that:

- `killed`: the process dies, the machine stays. The kernel still writes everything that Redis has handed over.
- `power`: the machine dies. The append-only file ends where the last completed fsync has secured it.
- `cut`: the file ends where it was some time before, whatever an fsync had promised (a disk that lied, a restored
  copy of the file).
- `replica`: the primary is gone for good with its disk, and its replica takes over at its address. With a lag the link
  between them is cut that long before. There are two replicas, cut off alike: with one alone nothing would be left
  that `replicated` could wait for.
"""

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from livegift.dev.embedded import RedisServer
from loadtests.harness.fault_stack import AofWatch, Audit, FaultStack
from loadtests.harness.options import choices, number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.trace import Trace

USERS, ROOMS = 50, 5
STEP_S = 0.1
LOG_LINES_MAX = 60
VARIANTS = ("none killed", "none cut", "fsync power", "fsync cut", "replicated replica",
            "fsync lagging replica", "replicated lagging replica")  # fmt: skip
# Each durability, and each way of losing Redis that has code of its own, once.
SHORT_VARIANTS = ("none cut", "fsync power", "replicated lagging replica")

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AofCut:
    """The load, what is lost, and how."""

    variants: tuple[str, ...] = choices(VARIANTS, short=SHORT_VARIANTS, about="durability, and what happens to Redis")
    rate: float = number(1_000.0, short=200.0, about="gifts per second")
    cut_s: float = number(1.0, short=0.5, about="how much of the end is lost, or how far a replica lags")
    load_s: float = number(6.0, short=1.0, about="load before the loss, and after it")


def aof_cut(options: AofCut) -> Result:
    """Run the variants, each on a system of its own."""
    runs, rows, doubts = [], [], []
    for variant in options.variants:
        try:
            runs.append(loss(variant, options))
        except LoadTestError as error:
            rows.append(Row(f"{variant}: did not come to its end", 1, "", "0"))
            doubts.append(f"{variant}: {error}")
        else:
            rows += loss_rows(runs[-1])
    setup: dict[str, object] = {
        **asdict(options), "senders": USERS, "rooms": ROOMS, "appendfsync": "everysec",
    }  # fmt: skip
    return Result(rows, setup, runs, doubts)


def loss(variant: str, options: AofCut) -> Run:
    """Play one variant: load, loss, return, load, and the accounts afterwards."""
    durability, how = variant.split(" ", 1)
    with FaultStack(durability=durability) as stack:
        replicas = [stack.start_replica(f"replica-{n}") for n in range(2)] if how.endswith("replica") else []
        stack.start_all(USERS, ROOMS)
        with AofWatch(stack.redis) as watch:
            load = stack.load("--verify", "--watch", rate=options.rate, users=USERS, rooms=ROOMS)
            time.sleep(options.load_s)
            passwords = [cut_off(replica) for replica in replicas] if how.startswith("lagging") else []
            time.sleep(options.cut_s if passwords else 0)
            killed, secured = time.monotonic(), watch.secured_bytes
            stack.redis.kill()
            dead = time.monotonic()
        written = watch.path.stat().st_size
        left = {"power": secured, "cut": watch.size_at(killed - options.cut_s)}.get(how, written)
        if replicas:
            stack.promote(replicas[0])
            restarted = time.monotonic()
            for replica, password in zip(replicas[1:], passwords[1:], strict=False):
                join_again(replica, password)
        else:
            with watch.path.open("r+b") as file:
                file.truncate(left)
            restarted = stack.restart_redis()
        answering = time.monotonic()
        stack.wait_armed()
        time.sleep(options.load_s)
        trace = load.end()
        stack.wait_armed()
        audit, ledger = stack.audit(), ledger_gifts(stack)
        said = recovery_said(stack, dead)
    return {
        "variant": variant,
        "bytes_lost": None if replicas else written - left,
        "redis_back_s": answering - killed,
        "armed_s": said.pop("armed_at", float("nan")) - answering,
        "first_accepted_s": (trace.first_accepted(killed + 0.001) or float("nan")) - restarted,
        "without_gifts_s": (trace.first_accepted(dead) or float("nan")) - killed,
        **said,
        **accounts(trace, audit, ledger),
        "timeline": trace.timeline(killed - 1, killed + 5, STEP_S, killed),
    }


def cut_off(replica: RedisServer) -> str:
    """Cut the link of a replica; it can't sign in again, so it stays where it is. Returns what `join_again` wants."""
    with closing(replica.client()) as client:
        password = str(client.config_get("masterauth")["masterauth"])
        client.config_set("masterauth", "wrong")
        client.execute_command("CLIENT", "KILL", "TYPE", "master")
    return password


def join_again(replica: RedisServer, password: str) -> None:
    """Undo `cut_off`."""
    with closing(replica.client()) as client:
        client.config_set("masterauth", password)


def recovery_said(stack: FaultStack, since: float) -> Run:
    """What the aggregator has logged of the recovery."""
    repaired = stack.logged("aggregator", "partition.repaired", since)
    corrected = stack.logged("aggregator", "room.corrected", since)
    armed = stack.logged("aggregator", "partition.armed", since)
    return {
        "armed_at": max((entry["at"] for entry in armed), default=float("nan")),
        "partitions_repaired": sum(entry["count"] for entry in repaired),
        "entries_put_back": sum(entry["lost"] for entry in repaired),
        "entries_cut_off": sum(entry["diverged"] for entry in repaired),
        "wallets_written": sum(entry["wallets"] for entry in repaired),
        "refs_put_back": sum(entry["refs"] for entry in repaired),
        "room_shares_corrected": len(corrected),
        "gifts_revoked": sum(entry["revoked"] for entry in corrected),
        "log": said_of_recovery(stack, since),
        "stopped": [entry["reason"] for entry in stack.logged("aggregator", "partition.stopped", since)],
    }


def said_of_recovery(stack: FaultStack, since: float) -> list[dict[str, object]]:
    """The aggregator's own story, in order, without the lines for single partitions."""
    told = ("aggregator.retry", "aggregator.arming_delayed", "rooms.checked", "rooms.gate_opened", "rooms.fenced",
            "partition.armed", "worker.leases_not_followed")  # fmt: skip
    entries = [entry for event in told for entry in stack.logged("aggregator", event, since)]
    entries.sort(key=lambda entry: float(entry["at"]))
    return [
        {"t": round(entry["at"] - since, 2), "event": entry["event"],
         **{name: entry[name] for name in ("node", "error", "rooms", "behind", "partitions", "count") if name in entry}}
        for entry in entries[:LOG_LINES_MAX]
    ]  # fmt: skip


def ledger_gifts(stack: FaultStack) -> int:
    """How many gifts the ledger has."""
    with psycopg.connect(stack.postgres.url) as connection:
        row = connection.execute("SELECT count(*) FROM gifts").fetchone()
    return int(row[0]) if row else -1


def accounts(trace: Trace, audit: Audit, ledger: int) -> Run:
    """Whether everything adds up: each ref that ends as accepted is one gift of the ledger, and nothing else is."""
    return {
        **trace.fates(),
        "gifts_by_the_refs": trace.gifts_in_the_end(),
        "gifts_in_the_ledger": ledger,
        "revocations_seen": len(trace.revoked_at),
        "reconnects": trace.reconnects,
        "audit_exit_code": audit.exit_code,
        "violations": audit.violations,
    }


def loss_rows(run: Run) -> list[Row]:
    """The figures that a person compares."""
    name = run["variant"]
    difference = run["gifts_in_the_ledger"] - run["gifts_by_the_refs"]
    return [
        Row(f"{name}: answered `accepted` and gone afterwards", run["lost_although_accepted"], "gifts", "",
            f"of {run['answered_accepted']} accepted; nobody paid for them"),
        Row(f"{name}: booked, lost by Redis, put back", run["entries_put_back"], "entries", "",
            f"in {run['partitions_repaired']} partitions, {run['wallets_written']} wallets"),
        Row(f"{name}: revoked in rooms", run["gifts_revoked"], "gifts", "",
            f"watchers saw {run['revocations_seen']}"),
        Row(f"{name}: from the kill until a gift was accepted", run["without_gifts_s"], "s", "",
            f"Redis answered after {run['redis_back_s']:.2f} s, all armed {run['armed_s']:.2f} s later"),
        Row(f"{name}: gifts in the ledger minus gifts by the refs", difference, "", "0",
            f"{run['gifts_in_the_ledger']} gifts"),
        Row(f"{name}: `livegift audit`, exit code", run["audit_exit_code"], "", "0"),
    ]  # fmt: skip
