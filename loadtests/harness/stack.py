"""A private system for one benchmark: real servers, real processes, temporary data."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self

import psycopg

from livegift.composition import make_settings
from livegift.dev.embedded import start_postgres, start_redis
from livegift.features.grants.service import grant_coins
from livegift.ledger.engine import Database
from livegift.operations.migrate import migrate
from livegift.runtime.identity import Tokens
from livegift.runtime.net import listen
from livegift.runtime.settings import variables_of
from livegift.store.client import Store
from livegift.store.outbox import Outbox, PartitionState
from livegift.store.wallets import Wallets
from loadtests.harness import processes
from loadtests.harness.measure import pin
from loadtests.harness.processes import LoadTestError, tail

READY_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 60.0
HTTP_TIMEOUT_S = 10.0
POLL_S = 0.05
GRANTS_AT_ONCE = 8
# A rewrite of the append-only file would fork Redis in the middle of a measurement, sometimes.
REDIS_SETTINGS = {"auto-aof-rewrite-percentage": "0"}


class Stack:
    """Use as `with Stack() as stack`. Processes are started and stopped by name: 'web', 'relay', 'aggregator'."""

    def __init__(self, **settings: object) -> None:
        """`settings` differ from the defaults."""
        self._given = {"commands_per_s_max": 0, "requests_per_s_max": 0, "metrics_port": 0, **settings}
        self._undo = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets: dict[str, socket.socket] = {}
        self.addresses: dict[str, str] = {}  # of the web processes

    @property
    def address(self) -> str:
        """host:port of the web process that was started first."""
        return next(iter(self.addresses.values()))

    def __enter__(self) -> Self:
        with self._undo:
            self.folder = Path(tempfile.mkdtemp(prefix="livegift-bench-"))
            self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.redis = self._undo.enter_context(start_redis(self.folder / "redis", extra=REDIS_SETTINGS))
            self.postgres = self._undo.enter_context(start_postgres(self.folder / "postgres"))
            self.settings = make_settings(
                redis_url=self.redis.url,
                database_url=self.postgres.url,
                jwt_secret=token_urlsafe(48),
                **self._given,
            )
            self.tokens = Tokens(self.settings.jwt_secret)
            asyncio.run(migrate(self.settings))
            self._undo = self._undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        logs = [tail(self.log(name)) for name in self._running]
        for name in list(self._running):
            self.stop(name)
        self._undo.close()
        if kind is LoadTestError:
            print("\n".join(logs))

    # --- Processes ----------------------------------------------------------------------------------------------------

    def start(self, name: str) -> int:
        """Start one livegift process; returns its pid. Web processes ('web', 'web 2') take free ports: `address`."""
        if name.startswith("web"):
            pid, address = self.start_server(name, ["-m", "livegift", "web", "--fd", "{fd}"], self.environ())
            self.addresses[name] = address
            return pid
        return self.start_other(name, ["-m", "livegift", name], self.environ())

    def start_server(
        self, name: str, argv: list[str], environ: dict[str, str], program: str = sys.executable
    ) -> tuple[int, str]:
        """Start `python argv…` (or another program), `{fd}` being a socket that listens; returns pid and host:port."""
        if name not in self._sockets:
            self._sockets[name] = listen("127.0.0.1", 0)  # which it keeps over restarts
            self._undo.callback(self._sockets[name].close)
        sock = self._sockets[name]
        host, port = sock.getsockname()[:2]
        argv = [part.format(fd=sock.fileno()) for part in argv]
        return self.start_other(name, argv, environ, (sock.fileno(),), program), f"{host}:{port}"

    def start_other(
        self,
        name: str,
        argv: list[str],
        environ: dict[str, str],
        fds: tuple[int, ...] = (),
        program: str = sys.executable,
    ) -> int:
        """Start `python argv…` under a name, with its log in the folder; returns its pid."""
        with self.log(name).open("ab") as log:
            self._running[name] = processes.start(argv, environ, stdout=log, stderr=log, fds=fds, program=program)
        return self._running[name].pid

    def run_client(self, argv: list[str], cores: set[int] | None, timeout_s: float) -> Any:
        """Run `python argv…` to its end on `cores`; returns the JSON it prints. Raises LoadTestError."""
        errors = self.log("client")
        with errors.open("ab") as stderr:
            process = processes.start(argv, self.environ(), stdout=subprocess.PIPE, stderr=stderr)
        with processes.running(process):
            if cores is not None:
                pin(process.pid, cores)
            try:
                out, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                raise LoadTestError(f"{argv[1]} did not end within {timeout_s:g} s\n{tail(errors)}") from None
        if process.returncode:
            raise LoadTestError(f"{argv[1]} ended with {process.returncode}\n{tail(errors)}")
        return json.loads(out)

    def stop(self, name: str) -> None:
        """Stop one process in order."""
        processes.stop(self._running.pop(name))

    def pid(self, name: str) -> int:
        """The pid of a process that was started."""
        return self._running[name].pid

    def log(self, name: str) -> Path:
        """What a process has printed."""
        return self.folder / f"{name}.log"

    def environ(self) -> dict[str, str]:
        """The settings as environment variables."""
        return variables_of(self.settings)

    def wait_until(self, predicate: Callable[[], object], what: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Poll; raise LoadTestError when it takes too long or a process has died."""
        deadline = time.monotonic() + timeout_s
        while not predicate():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise LoadTestError(f"{name} ended with {process.poll()}, waiting until {what}")
            if time.monotonic() > deadline:
                raise LoadTestError(f"after {timeout_s:g} s still not: {what}")
            time.sleep(POLL_S)

    def wait_ready(self, path: str = "/readyz") -> None:
        """Wait until the web process answers 200 there."""
        self.wait_until(lambda: self.http("GET", path)[0] == 200, f"{path} answers 200")  # noqa: PLR2004 - HTTP's

    def http(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        """One request to the web process; the status (0: no connection) and the decoded body."""
        request = urllib.request.Request(f"http://{self.address}{path}", method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=HTTP_TIMEOUT_S) as response:  # noqa: S310 - the same
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except OSError as error:
            return 0, str(error)

    # --- Data ---------------------------------------------------------------------------------------------------------

    def open_room(self, room: str, creator: str) -> None:
        """Open a room through the web process."""
        token = self.tokens.sign(creator, "creator")
        status, body = self.http("POST", "/v1/rooms", {"id": room, "title": room}, token)
        if status not in (200, 201):
            raise LoadTestError(f"room {room} was not opened: {status} {body}")

    def grant(self, coins: Mapping[str, int]) -> None:
        """Give coins, as `livegift grant` does. The partitions must be armed."""

        async def give(store: Store, database: Database) -> None:
            wallets = Wallets(store, self.settings.partitions, self.settings.ref_ttl_s)
            turns = asyncio.Semaphore(GRANTS_AT_ONCE)

            async def one(user: str, amount: int) -> None:
                async with turns:
                    await grant_coins(database, wallets, f"bench-{user}", user, amount)

            await asyncio.gather(*(one(user, amount) for user, amount in coins.items()))

        self.with_stores(give)

    def partition_states(self) -> dict[int, PartitionState]:
        """What each partition says of itself."""

        async def ask(store: Store, _: Database) -> dict[int, PartitionState]:
            outbox = Outbox(store, self.settings.partitions)
            return await outbox.states(outbox.roots)

        return dict(self.with_stores(ask))

    def gifts_accepted(self) -> int:
        """How many gifts the wallets have debited so far."""
        return sum(state.gifts for state in self.partition_states().values())

    def with_stores(self, work: "Callable[[Store, Database], Awaitable[Any]]") -> Any:
        """Run `work` with connections of this process to both stores."""

        async def run() -> Any:
            store = await Store.connect(self.settings.redis_url)
            database = Database(self.settings.database_url)
            try:
                return await work(store, database)
            finally:
                await database.aclose()
                await store.aclose()

        return asyncio.run(run())

    def versions(self) -> tuple[str, str]:
        """Of Redis and PostgreSQL."""
        with closing(self.redis.client()) as client:
            redis_version = str(client.info("server")["redis_version"])
        with psycopg.connect(self.postgres.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return redis_version, str(row[0]) if row else "unknown"
