"""Gifts accepted per CPU-second of one web process, beside its peers: in turn, on the same core and Redis.

Relay and aggregator are stopped while it is measured (the aggregator arms the partitions first): on two cores they
would take time from the client, and their cost has benchmarks of its own. The backlog limit is far away.
"""

from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.harness.debits import fill
from loadtests.harness.measure import CPU_STEP_S, cpu_s, pin, two_cores
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import SETTLE_TIMEOUT_S, Stack
from loadtests.peers import naive
from loadtests.peers.servers import start_peers

COINS = 10**9
ROOM = "bench"
CLIENT_GRACE_S = 60.0
BUSY = 0.9  # of a core: from here on it has nothing more to give
PREFIX = "sender-"
TARGETS = {"Socket.IO": ">= 1.5", "ws": ">= 1.1"}

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    pid: int
    address: str
    way: str = "livegift"  # whose frames its clients send


@dataclass(frozen=True, slots=True)
class GiftsIn:
    """How many are under way, how long and how often."""

    rounds: int = number(2, short=1, about="repetitions, each server in turn")
    seconds: float = number(5.0, short=0.5, about="measured interval of each repetition")
    warm_up_s: float = number(1.5, short=0.3, about="gifts are sent for so long before it")
    connections: int = number(50, short=5, about="senders, each with a connection")
    # 2,000 in flight: with 500, all in one batch, web process and Redis would only take turns.
    window: int = number(40, short=10, about="gifts in flight of each connection")
    ceiling_gifts: int = number(50_000, short=1_000, about="gifts that Redis debits while nothing else runs")


def gifts_in(options: GiftsIn) -> Result:
    """Measure each server in turn. Raises LoadTestError when anything was refused or lost."""
    cores = two_cores()
    with Stack() as stack:
        servers, left_out = _start(stack, options.connections)
        if cores is not None:
            for server in servers:
                pin(server.pid, cores[0])
            pin(stack.redis.pid, cores[1])
        runs: list[Run] = []
        for turn in range(options.rounds):
            for server in servers:
                accepted_before = stack.gifts_accepted()
                run = _measure(stack, server, f"r{turn}-{len(runs)}", options, cores[1] if cores else None)
                if server.name == "livegift" and stack.gifts_accepted() - accepted_before != run["accepted_total"]:
                    raise LoadTestError(f"clients were told of {run['accepted_total']} gifts, the wallets know others")
                runs.append({"peer": server.name, **run, **_rates(run)})
        with closing(stack.redis.client()) as client:
            entries = int(client.xlen(naive.STREAM))
        if entries != sum(run["accepted_total"] for run in runs if run["peer"] != "livegift"):
            raise LoadTestError(f"the peers' stream has {entries} gifts, their clients were told of others")
        ceiling = _ceiling(stack, options)
    result = _result(runs, options, is_pinned=cores is not None)
    result.rows.append(
        Row("Redis alone: gifts per CPU-second of Redis", ceiling, "gifts", note="gift_send, 32 calls in a pipeline")
    )
    result.doubts.extend(left_out)
    return result


def _start(stack: Stack, connections: int) -> tuple[list[_Server], list[str]]:
    users = [f"{PREFIX}{turn}" for turn in range(connections)]
    web = stack.start("web")
    stack.start("aggregator")
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.grant(dict.fromkeys(users, COINS))
    stack.stop("aggregator")
    servers = [_Server("livegift", web, stack.address)]
    environ = {**stack.environ(), "NAIVE_REDIS_URL": stack.settings.redis_url}
    pid, address = stack.start_server("naive", ["-m", "loadtests.peers.naive", "--fd", "{fd}"], environ)
    servers.append(_Server("naive", pid, address))
    peers, left_out = start_peers(stack, ("ws", "Socket.IO"))
    servers += [_Server(p.name, p.pid, p.address, "socketio" if p.way == "socketio" else "livegift") for p in peers]
    with closing(stack.redis.client()) as client:
        for user in users:
            client.hset(naive.wallet_key(user), "balance", COINS)
        stack.wait_until(
            lambda: client.function_list("naive_gifts"),
            "the naive server has loaded its function",
            SETTLE_TIMEOUT_S,
        )
    return servers, left_out


def _ceiling(stack: Stack, options: GiftsIn) -> float:
    """Return what Redis does when nothing else takes time: the same function calls in a pipeline."""
    used = cpu_s(stack.redis.pid)
    gifts = fill(stack, "ceiling", options.ceiling_gifts, options.connections)
    return gifts / max(cpu_s(stack.redis.pid) - used, CPU_STEP_S)


def _measure(stack: Stack, server: _Server, run: str, options: GiftsIn, cores: set[int] | None) -> Run:
    argv = ["-m", "loadtests.clients.gifts", "--address", server.address, "--room", ROOM, "--run", run]
    argv += ["--way", server.way]
    argv += ["--user-prefix", PREFIX, "--connections", str(options.connections), "--window", str(options.window)]
    argv += ["--warm-up-s", str(options.warm_up_s), "--seconds", str(options.seconds)]
    argv += ["--watch", f"server={server.pid}", "--watch", f"redis={stack.redis.pid}"]
    found: Run = stack.run_client(argv, cores, options.seconds + options.warm_up_s + CLIENT_GRACE_S)
    if found["failed_total"] or found["unanswered"] or found["connections_lost"]:
        raise LoadTestError(
            f"of the gifts {found['failed_total']} failed ({found['others']}), {found['unanswered']} got no answer, "
            f"{found['connections_lost']} connections were lost ({found['lost_because']})"
        )
    return found


def _rates(run: Run) -> dict[str, float]:
    cpu_s, took_s, accepted = run["cpu_s"], run["seconds"], run["accepted"]
    return {
        "gifts_per_server_cpu_s": accepted / max(cpu_s["server"], CPU_STEP_S),
        "gifts_per_s": accepted / took_s,
        **{f"{name}_share": used / took_s for name, used in cpu_s.items()},
    }


def _doubt(peer: str, runs: list[Run], *, is_pinned: bool) -> str | None:
    """Who set the pace, when it was not the server."""
    server, client, redis = (median(run[f"{name}_share"] for run in runs) for name in ("server", "client", "redis"))
    if server >= BUSY:
        return None
    shares = f"server {server:.0%}, client {client:.0%}, Redis {redis:.0%} of a core"
    if client >= BUSY or (is_pinned and client + redis >= BUSY):
        return f"{peer}: the client's core was the bottleneck, not the server ({shares}): the wall rate is too low"
    return f"{peer}: no core was full ({shares}): something else on this machine took time, or both sides waited"


def _result(runs: list[Run], options: GiftsIn, *, is_pinned: bool) -> Result:
    names = dict.fromkeys(run["peer"] for run in runs)
    by_peer = {peer: [run for run in runs if run["peer"] == peer] for peer in names}
    rows, middle = [], {}
    for peer, own in by_peer.items():
        middle[peer] = {key: median(run[key] for run in own) for key in _rates(own[0])}
        shares = ", ".join(f"{name} {middle[peer][f'{name}_share']:.0%}" for name in ("server", "client", "redis"))
        rows.append(
            Row(f"{peer}: gifts per CPU-second of the web process", middle[peer]["gifts_per_server_cpu_s"], "gifts")
        )
        rows.append(Row(f"{peer}: gifts per second of wall time", middle[peer]["gifts_per_s"], "gifts", note=shares))
    for peer in list(names)[1:]:
        ratio = middle["livegift"]["gifts_per_server_cpu_s"] / middle[peer]["gifts_per_server_cpu_s"]
        rows.append(Row(f"livegift / {peer}, per CPU-second", ratio, "times", TARGETS.get(peer, "")))
    doubts = [text for peer, own in by_peer.items() if (text := _doubt(peer, own, is_pinned=is_pinned))]
    if not is_pinned:
        doubts.append("one core only: server, client and Redis shared it")
    setup = asdict(options) | {
        "pinned": is_pinned,
        "gift": "rose, streakable; the peers have no streaks, rooms, limits or catalogue",
        "relay_and_aggregator": "stopped while measuring",
    }
    return Result(rows, setup, runs, doubts)
