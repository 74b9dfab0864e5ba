"""A primary of a Redis Cluster dies while its replica lags, and the cluster promotes that replica.

The lag is made by cutting the link: the replica lives and votes, but can't sign in at its primary any more. So looks a
replica behind a broken network path. `cluster-replica-validity-factor` (default 10) times `cluster-node-timeout` is how
stale a replica may be and still be promoted: with the defaults minutes, so it will be.
"""

import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

import redis

from livegift.domain.partitions import partition_of
from livegift.ledger.engine import Database
from livegift.store.client import Store
from livegift.store.outbox import Outbox
from loadtests.drills.aof_cut import accounts, cut_off, join_again, ledger_gifts, loss_rows, recovery_said
from loadtests.harness.fault_stack import ClusterStack
from loadtests.harness.naming import user_name
from loadtests.harness.options import choices, number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row

USERS, ROOMS = 60, 6
NODE_TIMEOUT_MS = 2_000
VICTIM = 1  # not the one that LIVEGIFT_REDIS_URL names: that is another drill
PROMOTED_TIMEOUT_S = 30.0
STEP_S = 0.1
POLL_S = 0.02
BEFORE_S, AFTER_S = 1.0, 10.0
DURABILITIES = ("fsync", "replicated")

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Promotion:
    """What bookings wait for, the load, and how far the replica lags."""

    durabilities: tuple[str, ...] = choices(DURABILITIES, short=DURABILITIES[1:], about="what bookings wait for")
    rate: float = number(500.0, short=100.0, about="gifts per second")
    lag_s: float = number(1.0, short=0.5, about="how long before the kill the replica's link is cut")
    load_s: float = number(10.0, short=1.0, about="load before the kill, after the promotion and after the return")


def promotion(options: Promotion) -> Result:
    """Kill a primary once for each durability that can know about replicas."""
    runs = [_promote(durability, options) for durability in options.durabilities]
    rows = [row for run in runs for row in [*loss_rows(run), *_cluster_rows(run)]]
    setup: dict[str, object] = {
        **asdict(options), "senders": USERS, "rooms": ROOMS, "primaries": ClusterStack.primaries,
        "replicas_each": 1, "cluster_node_timeout_ms": NODE_TIMEOUT_MS, "cluster_replica_validity_factor": 10,
    }  # fmt: skip
    return Result(rows, setup, runs)


def _promote(durability: str, options: Promotion) -> Run:
    with ClusterStack(NODE_TIMEOUT_MS, durability=durability) as stack:
        replica = stack.nodes[stack.primaries + VICTIM]
        stack.start_all(USERS, ROOMS)
        hit = _senders_of(stack, VICTIM)
        load = stack.load("--verify", "--watch", rate=options.rate, users=USERS, rooms=ROOMS)
        time.sleep(options.load_s)
        with closing(replica.client()) as client:
            password = cut_off(replica)
            time.sleep(options.lag_s)
            killed = time.monotonic()
            stack.nodes[VICTIM].kill()
            dead = time.monotonic()
            promoted = _wait_promoted(client)
        join_again(replica, password)
        # The old primary comes back with more than anybody else has, and has to follow.
        time.sleep(options.load_s)
        stack.restart_node(VICTIM)
        returned = time.monotonic()
        stack.wait_armed()
        time.sleep(options.load_s)
        trace = load.end()
        stack.wait_armed()
        audit, ledger = stack.audit(), ledger_gifts(stack)
        said = recovery_said(stack, dead)

    def is_hit(sender: int) -> bool:
        return sender in hit

    def is_other(sender: int) -> bool:
        return sender not in hit

    first = trace.first_accepted(dead, is_hit) or float("nan")
    return {
        "variant": durability,
        "senders_hit": len(hit),
        "redis_back_s": promoted - killed,
        "armed_s": said.pop("armed_at") - promoted,
        "without_gifts_s": first - killed,
        "others_before": trace.latency(killed - options.load_s, killed, is_other),
        "others_meanwhile": trace.latency(killed, first, is_other),
        "others_not_accepted": {
            outcome: count
            for outcome, count in trace.counts(killed, first, is_other).items()
            if outcome != "accepted"
        },
        "not_accepted_after_the_return": {
            outcome: count for outcome, count in trace.counts(returned, float("inf")).items() if outcome != "accepted"
        },
        **said,
        **accounts(trace, audit, ledger),
        "timeline": trace.timeline(killed - BEFORE_S, killed + AFTER_S, STEP_S, killed, is_hit),
        "timeline_of_the_others": trace.timeline(killed - BEFORE_S, killed + AFTER_S, STEP_S, killed, is_other),
    }  # fmt: skip


def _senders_of(stack: ClusterStack, node: int) -> set[int]:
    """The numbers of the senders whose wallets are on a node."""

    async def ask(store: Store, _: Database) -> set[int]:
        outbox = Outbox(store, stack.settings.partitions)
        port = f":{stack.nodes[node].port}"
        return {
            number
            for number in range(USERS)
            if outbox.node_of(partition_of(user_name(number), stack.settings.partitions)).name.endswith(port)
        }

    return set(stack.with_stores(ask))


def _wait_promoted(client: Any) -> float:
    deadline = time.monotonic() + PROMOTED_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(redis.RedisError):
            if client.role()[0] == "master" and client.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                return time.monotonic()
        time.sleep(POLL_S)
    raise LoadTestError(f"the replica was not promoted within {PROMOTED_TIMEOUT_S:g} s")


def _cluster_rows(run: Run) -> list[Row]:
    name = run["variant"]
    kinds: dict[str, int] = {}
    for step in run["timeline"]:
        for outcome, count in step.items():
            if outcome not in ("t", "accepted"):
                kinds[outcome] = kinds.get(outcome, 0) + int(count)
    before, meanwhile = run["others_before"], run["others_meanwhile"]
    return [
        *(Row(f"{name}: answered {outcome}", count, "gifts", "", "of the senders who were hit")
          for outcome, count in sorted(kinds.items())),
        Row(f"{name}: others' result latency p99 meanwhile", meanwhile.get("p99", float("nan")), "ms", "",
            f"before: {before.get('p99')} ms; not accepted: {run['others_not_accepted'] or 0}"),
        Row(f"{name}: not accepted after the old primary came back",
            sum(run["not_accepted_after_the_return"].values()), "gifts", "",
            str(run["not_accepted_after_the_return"] or "")),
    ]  # fmt: skip
