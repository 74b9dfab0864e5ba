"""Gifts accepted per CPU-second of one web process, beside the naive server: A B A B on the same core and Redis.

Relay and aggregator are stopped while it is measured (the aggregator arms the partitions first): on two cores they
would take time from the client, and their cost has benchmarks of its own. The backlog limit is far away.
"""

from contextlib import closing
from statistics import median
from typing import Any

from loadtests.measure import pin, two_cores
from loadtests.peers import naive
from loadtests.processes import LoadTestError
from loadtests.results import Result, Row
from loadtests.stack import SETTLE_TIMEOUT_S, Stack

CONNECTIONS = 50
WINDOW = 40  # 2,000 in flight: with 500, all in one batch, web process and Redis would only take turns
WARM_UP_S = 1.5
COINS = 10**9
ROOM = "bench"
CLIENT_GRACE_S = 60.0
BUSY = 0.9  # of a core: from here on it has nothing more to give
PREFIX = "sender-"

Run = dict[str, Any]


def gifts_in(rounds: int, seconds: float) -> Result:
    """Measure `rounds` times each, in turn. Raises LoadTestError when anything was refused or lost."""
    cores = two_cores()
    with Stack() as stack:
        web, naive_pid, naive_address = _start(stack)
        if cores is not None:
            for pid, wanted in ((web, cores[0]), (naive_pid, cores[0]), (stack.redis.pid, cores[1])):
                pin(pid, wanted)
        runs: list[Run] = []
        for number in range(rounds * 2):
            peer, pid, address = ("naive", naive_pid, naive_address) if number % 2 else ("livegift", web, stack.address)
            accepted_before = stack.gifts_accepted()
            run = _measure(stack, address, pid, f"r{number}", seconds, cores[1] if cores else None)
            if peer == "livegift" and stack.gifts_accepted() - accepted_before != run["accepted_total"]:
                raise LoadTestError(f"the client was told of {run['accepted_total']} gifts, the wallets know others")
            runs.append({"peer": peer, **run, **_rates(run)})
        with closing(stack.redis.client()) as client:
            entries = int(client.xlen(naive.STREAM))
        if entries != sum(run["accepted_total"] for run in runs if run["peer"] == "naive"):
            raise LoadTestError(f"the naive server's stream has {entries} gifts, its clients were told of others")
    return _result(runs, rounds, seconds, is_pinned=cores is not None)


def _start(stack: Stack) -> tuple[int, int, str]:
    users = [f"{PREFIX}{number}" for number in range(CONNECTIONS)]
    web = stack.start("web")
    stack.start("aggregator")
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.grant(dict.fromkeys(users, COINS))
    stack.stop("aggregator")
    environ = {**stack.environ(), "NAIVE_REDIS_URL": stack.settings.redis_url}
    pid, address = stack.start_server("naive", ["-m", "loadtests.peers.naive", "--fd", "{fd}"], environ)
    with closing(stack.redis.client()) as client:
        for user in users:
            client.hset(naive.wallet_key(user), "balance", COINS)
        stack.wait_until(
            lambda: client.function_list("naive_gifts"),
            "the naive server has loaded its function",
            SETTLE_TIMEOUT_S,
        )
    return web, pid, address


def _measure(stack: Stack, address: str, pid: int, run: str, seconds: float, cores: set[int] | None) -> Run:
    argv = ["-m", "loadtests.clients.gifts", "--address", address, "--room", ROOM, "--run", run]
    argv += ["--user-prefix", PREFIX, "--connections", str(CONNECTIONS), "--window", str(WINDOW)]
    argv += ["--warm-up-s", str(WARM_UP_S), "--seconds", str(seconds)]
    argv += ["--watch", f"server={pid}", "--watch", f"redis={stack.redis.pid}"]
    found: Run = stack.run_client(argv, cores, seconds + WARM_UP_S + CLIENT_GRACE_S)
    if found["failed_total"] or found["unanswered"] or found["connections_lost"]:
        raise LoadTestError(
            f"of the gifts {found['failed_total']} failed ({found['others']}), {found['unanswered']} got no answer, "
            f"{found['connections_lost']} connections were lost ({found['lost_because']})"
        )
    return found


def _rates(run: Run) -> dict[str, float]:
    cpu_s, took_s, accepted = run["cpu_s"], run["seconds"], run["accepted"]
    return {
        "gifts_per_server_cpu_s": accepted / max(cpu_s["server"], 1e-9),
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


def _result(runs: list[Run], rounds: int, seconds: float, *, is_pinned: bool) -> Result:
    by_peer = {peer: [run for run in runs if run["peer"] == peer] for peer in ("livegift", "naive")}
    rows, middle = [], {}
    for peer, own in by_peer.items():
        middle[peer] = {key: median(run[key] for run in own) for key in _rates(own[0])}
        shares = ", ".join(f"{name} {middle[peer][f'{name}_share']:.0%}" for name in ("server", "client", "redis"))
        rows.append(
            Row(f"{peer}: gifts per CPU-second of the web process", middle[peer]["gifts_per_server_cpu_s"], "gifts")
        )
        rows.append(Row(f"{peer}: gifts per second of wall time", middle[peer]["gifts_per_s"], "gifts", note=shares))
    ratio = middle["livegift"]["gifts_per_server_cpu_s"] / middle["naive"]["gifts_per_server_cpu_s"]
    rows.append(Row("livegift / naive, per CPU-second", ratio, "times"))
    doubts = [text for peer, own in by_peer.items() if (text := _doubt(peer, own, is_pinned=is_pinned))]
    if not is_pinned:
        doubts.append("one core only: server, client and Redis shared it")
    setup = {
        "connections": CONNECTIONS,
        "in_flight_per_connection": WINDOW,
        "seconds": seconds,
        "rounds": rounds,
        "order": "A B " * rounds,
        "pinned": is_pinned,
        "gift": "rose, streakable; the naive server has no streaks, rooms or catalogue",
        "relay_and_aggregator": "stopped while measuring",
    }
    return Result(rows, setup, runs, doubts)
