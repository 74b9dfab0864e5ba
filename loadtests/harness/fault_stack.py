"""A private system whose stores can be killed, cut, restarted and replaced while the load goes on."""

import asyncio
import json
import os
import shutil
import tempfile
import threading
import time
from bisect import bisect_right
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self

import orjson
import redis

from livegift.composition import make_settings
from livegift.dev.embedded import RedisServer, start_postgres, start_redis, start_redis_cluster
from livegift.operations.migrate import migrate
from livegift.runtime.identity import Tokens
from loadtests.harness import processes
from loadtests.harness.naming import creator_name, room_name, user_name
from loadtests.harness.processes import LoadTestError, tail
from loadtests.harness.stack import REDIS_SETTINGS, Stack
from loadtests.harness.trace import Trace

COINS = 10**9
LOAD_READY_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 300.0
AUDIT_TIMEOUT_S = 900.0
AOF_POLL_S = 0.01
RECOVER_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Audit:
    """One run of `livegift audit`."""

    exit_code: int
    seconds: float
    cpu_s: float
    rss_mib: float
    checks: list[dict[str, Any]]

    @property
    def violations(self) -> list[str]:
        """What was wrong, a few of each check."""
        return [text for check in self.checks for text in check["violations"][:3]]


class Load:
    """The client process of a drill (clients/senders.py). `end` returns what it saw."""

    def __init__(self, stack: "FaultStack", *, rate: float, users: int, rooms: int, flags: tuple[str, ...]) -> None:
        """Starts it and returns when it sends."""
        self._stack, self._users = stack, users
        self.out = stack.folder / f"load-{token_urlsafe(4)}.json"
        said = self.out.with_suffix(".said")
        argv = ["-m", "loadtests.clients.senders", "--address", stack.address, "--run", f"d{time.monotonic_ns()}"]
        argv += ["--out", str(self.out), "--users", str(users), "--rooms", str(rooms), "--rate", str(rate), *flags]
        with said.open("wb") as stdout, stack.log("client").open("ab") as stderr:
            self._process = processes.start(argv, stack.environ(), stdout=stdout, stderr=stderr)
        self.pid = self._process.pid
        stack.wait_until(
            lambda: said.read_text().startswith("sending") or self._process.poll() is not None,
            "the client sends",
            LOAD_READY_TIMEOUT_S,
        )
        self._require_alive()

    def _require_alive(self) -> None:
        if self._process.poll() is not None:
            raise LoadTestError(f"the client ended with {self._process.poll()}\n{tail(self._stack.log('client'))}")

    def end(self) -> Trace:
        """Stop sending, repeat what has to be repeated, and return everything."""
        self._require_alive()
        if processes.stop(self._process, SETTLE_TIMEOUT_S) != 0:
            raise LoadTestError(f"the client ended with {self._process.poll()}\n{tail(self._stack.log('client'))}")
        return Trace(orjson.loads(self.out.read_bytes()))

    def kill(self) -> None:
        """When a drill fails."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class FaultStack(Stack):
    """One Redis, one PostgreSQL, one process of each kind, all of which can be hurt."""

    def __enter__(self) -> Self:
        super().__enter__()
        # The servers that run at the end may be other ones than those that were started first.
        self._undo.callback(self._stop_servers)
        self._loads: list[Load] = []
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for load in self._loads:
            load.kill()
        super().__exit__(kind, value, at)

    def _stop_servers(self) -> None:
        self.redis.stop()
        self.postgres.stop()

    # --- Load ---------------------------------------------------------------------------------------------------------

    def start_all(self, users: int, rooms: int) -> None:
        """All three processes, open rooms, and senders with coins."""
        for name in ("web", "relay", "aggregator"):
            self.start(name)
        self.wait_ready()
        for room in range(rooms):
            self.open_room(room_name(room), creator_name(room))
        self.grant({user_name(number): COINS for number in range(users)})

    def load(self, *flags: str, rate: float, users: int, rooms: int) -> Load:
        """Start sending; see clients/senders.py for `flags`."""
        self._loads.append(Load(self, rate=rate, users=users, rooms=rooms, flags=flags))
        return self._loads[-1]

    def pid(self, name: str) -> int:
        """The process of that name."""
        return self._running[name].pid

    # --- What the system says -----------------------------------------------------------------------------------------

    def logged(self, name: str, event: str, since: float = 0.0) -> list[dict[str, Any]]:
        """The events of that name in a process's log, later than `since` (monotonic); `at` is monotonic too."""
        found = []
        offset = time.time() - time.monotonic()
        for line in self.log(name).read_text(errors="replace").splitlines():
            with suppress(json.JSONDecodeError, KeyError, TypeError):
                entry = json.loads(line)
                entry["at"] = datetime.fromisoformat(entry["timestamp"]).timestamp() - offset
                if entry["event"] == event and entry["at"] >= since:
                    found.append(entry)
        return found

    def audit(self) -> Audit:
        """Run `livegift audit` as a process of its own."""
        out = self.folder / "audit.json"
        with out.open("wb") as stdout, self.log("audit").open("ab") as stderr:
            since = time.perf_counter()
            process = processes.start(
                ["-m", "livegift", "audit", "--json"], self.environ(), stdout=stdout, stderr=stderr
            )
            _, status, usage = os.wait4(process.pid, 0)
            took_s = time.perf_counter() - since
        process.returncode = os.waitstatus_to_exitcode(status)
        text = out.read_text()
        checks = json.loads(text)["checks"] if text.startswith("{") else [{"violations": [tail(self.log("audit"))]}]
        return Audit(process.returncode, took_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, checks)

    def wait_armed(self, timeout_s: float = RECOVER_TIMEOUT_S) -> None:
        """Until every partition takes money."""

        def armed() -> bool:
            with suppress(Exception):  # whatever is away at the moment
                states = self.partition_states()
                return len(states) == self.settings.partitions and all(s.armed_epoch for s in states.values())
            return False

        self.wait_until(armed, "all partitions are armed", timeout_s)

    def lag(self) -> tuple[int, int]:
        """Journal entries written, and booked as Redis knows it, over all partitions."""
        states = self.partition_states().values()
        return sum(state.n for state in states), sum(state.booked.n for state in states)

    # --- Faults -------------------------------------------------------------------------------------------------------

    def restart_redis(self) -> float:
        """Start the Redis that was killed, on its data and port; returns when (monotonic) it was started."""
        since = time.monotonic()
        self.redis = start_redis(self.redis.data_dir, port=self.redis.port, extra=REDIS_SETTINGS)
        return since

    def restart_postgres(self) -> None:
        """The same for PostgreSQL."""
        self.postgres = start_postgres(self.postgres.data_dir, port=self.postgres.port)

    def start_replica(self, name: str = "replica") -> RedisServer:
        """A replica of the Redis with the same password; returns when it has all data."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        shutil.copy(self.redis.data_dir / "redis.password", folder)
        replica = start_redis(folder, replica_of=self.redis, extra=REDIS_SETTINGS)
        self._undo.callback(replica.stop)
        with closing(replica.client()) as client:
            self.wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        return replica

    def promote(self, replica: RedisServer) -> None:
        """The replica becomes the primary, at the address of the one that is gone; other replicas then follow it."""
        with closing(replica.client()) as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
            # What a moved address or a changed DNS entry does in production.
            client.config_set("port", self.redis.port)
        self.redis = replica


class ClusterStack(FaultStack):
    """The same on a Redis Cluster of three primaries with a replica each; `nodes` has the primaries first."""

    primaries = 3

    def __init__(self, node_timeout_ms: int, **settings: object) -> None:
        """`node_timeout_ms` is after how long a silent node counts as failed."""
        super().__init__(**settings)
        self._cluster_settings = {
            **REDIS_SETTINGS,
            "cluster-node-timeout": str(node_timeout_ms),
            # By default all nodes refuse everything while one part of the slots has no owner.
            "cluster-require-full-coverage": "no",
        }

    def __enter__(self) -> Self:
        with self._undo:
            self.folder = Path(tempfile.mkdtemp(prefix="livegift-drill-"))
            self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.nodes = start_redis_cluster(
                self.folder / "redis", self.primaries, replicas=1, extra=self._cluster_settings
            )
            self._undo.callback(self._stop_nodes)
            self.redis = self.nodes[0]
            self.postgres = self._undo.enter_context(start_postgres(self.folder / "postgres"))
            given = {"redis_url": self.redis.url, "database_url": self.postgres.url, "jwt_secret": token_urlsafe(48)}
            self.settings = make_settings(**given, **self._given)
            self.tokens = Tokens(self.settings.jwt_secret)
            asyncio.run(migrate(self.settings))
            self._loads = []
            self._undo = self._undo.pop_all()
        return self

    def _stop_nodes(self) -> None:
        for node in self.nodes:
            node.stop()

    def restart_node(self, index: int) -> None:
        """Start a node that was killed, on its data."""
        node = self.nodes[index]
        self.nodes[index] = start_redis(node.data_dir, port=node.port, cluster=True, extra=self._cluster_settings)


class AofWatch:
    """Notes how long the append-only file is, and how much of it an fsync has secured; a context manager."""

    def __init__(self, server: RedisServer) -> None:
        """Of a server that does not rewrite its file meanwhile."""
        self._server = server
        self.path = max((server.data_dir / "redis" / "appendonlydir").glob("*.incr.aof"))
        self._times: list[float] = []
        self._sizes: list[int] = []
        self.secured_bytes = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._measure), threading.Thread(target=self._follow_fsyncs)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _measure(self) -> None:
        while not self._stop.wait(AOF_POLL_S):
            self._times.append(time.monotonic())
            self._sizes.append(self.path.stat().st_size)

    def _follow_fsyncs(self) -> None:
        """The length when WAITAOF says yes: at most what was written during that fsync is too much."""
        with closing(self._server.client()) as client, suppress(redis.RedisError):
            while not self._stop.is_set():
                client.set("drill:barrier", "1")
                if client.execute_command("WAITAOF", 1, 0, 2000)[0]:
                    self.secured_bytes = self.path.stat().st_size

    def size_at(self, at: float) -> int:
        """How long the file was at a moment (monotonic)."""
        return self._sizes[max(bisect_right(self._times, at) - 1, 0)]
