"""Real processes, as in production: several of each, on one pair of stores."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from livegift.features.grants.service import grant_coins
from livegift.ledger.engine import Database
from livegift.operations.audit import Report
from livegift.runtime.identity import tokens_of
from livegift.runtime.net import listen
from livegift.runtime.settings import Settings, variables_of
from livegift.store.client import Store
from livegift.store.wallets import Wallets
from tests.booking import audit
from tests.declared import undeclared

READY_TIMEOUT_S = 30.0


class System:
    """Starts, kills and stops processes by name: 'web 1', 'relay 2', …"""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.tokens = tokens_of(settings)
        self._logs = logs
        logs.mkdir()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets: dict[str, Any] = {}
        self.with_demo = False  # as `livegift dev` starts its web processes
        self.files_max = 0  # descriptors that a process may have; 0: as many as this one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for sock in self._sockets.values():
            sock.close()
        if kind is not None:
            for log in sorted(self._logs.iterdir()):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")

    def start(self, *, web: int = 1, relay: int = 1, aggregator: int = 1) -> Self:
        """Start so many of each and wait until gifts can be sent through each web process."""
        for role, count in (("web", web), ("relay", relay), ("aggregator", aggregator)):
            for i in range(count):
                self.start_one(f"{role} {i + 1}")
        for i in range(web):
            self.wait_ready(f"web {i + 1}")
        return self

    def start_one(self, name: str) -> None:
        """Start one process; a web process keeps its port over restarts."""
        role = name.partition(" ")[0]
        argv = command(role)
        fds: tuple[int, ...] = ()
        if role == "web":
            if name not in self._sockets:
                self._sockets[name] = listen("127.0.0.1", 0)
            sock = self._sockets[name]
            argv += ["--fd", str(sock.fileno()), *(["--demo"] if self.with_demo else [])]
            fds = (sock.fileno(),)
        if self.files_max:
            argv = ["sh", "-c", f'ulimit -n {self.files_max} && exec "$0" "$@"', *argv]
        with (self._logs / name.replace(" ", "-")).open("ab") as log:
            # Not where somebody may have run `livegift dev`: its folder has settings that these lack.
            self.processes[name] = subprocess.Popen(
                argv, env=environ(self.settings), cwd=self._logs, pass_fds=fds, stdout=log, stderr=log
            )

    def address(self, name: str = "web 1") -> str:
        """host:port of a web process."""
        host, port = self._sockets[name].getsockname()[:2]
        return f"{host}:{port}"

    def wait_ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            status, body = self.http("GET", "/readyz", web=name)
            if status == 200:
                return
            assert time.monotonic() < deadline, f"{name} is not ready: {body}"
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """kill -9, now."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def log(self, name: str) -> str:
        return (self._logs / name.replace(" ", "-")).read_text()

    def token(self, user: str, role: str = "viewer", **claims: object) -> str:
        return self.tokens.sign(user, role, **{"age_verified": True, "name": user.title(), **claims})

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        web: str = "web 1",
        key: str | None = None,
    ) -> tuple[int, Any]:
        """One request, `key` is its Idempotency-Key; the status (0: no connection) and the decoded body."""
        request = urllib.request.Request(f"http://{self.address(web)}{path}", method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if key:
            request.add_header("Idempotency-Key", key)
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=10) as response:
                return response.status, _declared(method, path, response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _declared(method, path, error)
        except (OSError, TimeoutError) as error:
            return 0, str(error)

    def post(self, path: str, body: bytes, headers: dict[str, str], web: str = "web 1") -> tuple[int, str]:
        """A body as it is; the status (0: no connection) and the text of the answer."""
        connection = http.client.HTTPConnection(self.address(web), timeout=10)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def open_room(self, room: str, creator: str, **claims: object) -> None:
        status, body = self.http(
            "POST",
            "/v1/rooms",
            {"id": room, "title": f"Room {room}"},
            token=self.token(creator, "creator", **claims),
        )
        assert status in (200, 201), body

    async def grant(self, coins: dict[str, int], ref: str = "start") -> None:
        """Give coins to users, as `livegift grant` does."""
        store = await Store.connect(self.settings.redis_url)
        database = Database(self.settings.database_url)
        wallets = Wallets(store, self.settings.partitions, self.settings.ref_ttl_s)
        try:
            async with asyncio.TaskGroup() as group:
                for user, amount in coins.items():
                    group.create_task(grant_coins(database, wallets, f"{ref}-{user}", user, amount))
        finally:
            await database.aclose()
            await store.aclose()

    async def audit(self, wait_s: float = 30.0) -> Report:
        return await audit(self.settings, wait_s)


def _declared(method: str, path: str, response: Any) -> Any:
    """The decoded body, which has to be as its route declares."""
    content = response.read()
    wrong = undeclared(method, path, response.status, response.headers["content-type"], content)
    assert wrong is None, wrong
    return json.loads(content)


def command(*args: str) -> list[str]:
    """The argv of a livegift command."""
    return [sys.executable, "-m", "livegift", *args]


def environ(settings: Settings) -> dict[str, str]:
    """The environment in which commands work with these settings."""
    return {**os.environ, **variables_of(settings)}
