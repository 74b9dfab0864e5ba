"""`livegift dev`: the whole system on one machine, with nothing to install.

It prints a few lines about what it does, the address last. The processes' logs are files in the data folder.
"""

import asyncio
import fcntl
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from socket import socket

from livegift import composition
from livegift.contract.errors import ConfigError, LivegiftError
from livegift.dev.embedded import Server, start_postgres, start_redis
from livegift.dev.embedded.errors import EmbeddedError
from livegift.dev.embedded.process import READY_POLL_S, bound_log, free_ports, write_private
from livegift.dev.supervisor import Child, Supervisor, child_environ
from livegift.operations.migrate import migrate
from livegift.runtime.bounds import DEV_READY_TIMEOUT_S, RESTART_PAUSE_S
from livegift.runtime.net import listen
from livegift.runtime.settings import CoreSettings, OwnSettings, read_env_file


@dataclass(frozen=True, slots=True)
class DevOptions:
    """The options of the command line."""

    host: str
    port: int
    data: Path
    web: int
    demo: bool


def say(line: str) -> None:
    """Print a line for the user."""
    print(line, flush=True)


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Lock a data folder for one `livegift dev`. Raises ConfigError when another one has it."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another `livegift dev` runs on {data}: stop it, or choose another folder with --data"
            ) from None
        yield


def _write_env(data: Path, values: dict[str, str]) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    write_private(data / "env", "# written by `livegift dev`; other commands read it with --data\n" + lines)


class _Stores:
    """The private servers, for each store whose address is not in the environment."""

    def __init__(self, data: Path, stack: ExitStack) -> None:
        self._starters: dict[str, Callable[[int | None], Server]] = {}
        self._servers: dict[str, Server] = {}
        self._not_before: dict[str, float] = {}
        self.urls: dict[str, str] = {}
        makers: tuple[tuple[str, str, Callable[[int | None], Server]], ...] = (
            ("Redis", "LIVEGIFT_REDIS_URL", lambda port: start_redis(data / "redis", port=port)),
            ("PostgreSQL", "LIVEGIFT_DATABASE_URL", lambda port: start_postgres(data / "postgres", port=port)),
        )
        for name, variable, start in makers:
            if os.environ.get(variable):
                say(f"{name}: the server in {variable}")
                self.urls[variable] = os.environ[variable]
                continue
            say(f"{name}: starting a private server …")
            server = start(None)
            self._starters[name], self._servers[name] = start, server
            stack.callback(self._stop, name)
            self.urls[variable] = server.url
            say(f"{name}: ready on port {server.port}, log in {server.log}")

    def _stop(self, name: str) -> None:
        self._servers[name].stop()

    def poll(self) -> None:
        """Restart a server that has died, on the same port, and keep the logs small."""
        for name, server in list(self._servers.items()):
            bound_log(server.log)
            if server.poll() is None or time.monotonic() < self._not_before.get(name, 0.0):
                continue
            say(f"{name} has died, starting it again with its data")
            try:
                self._servers[name] = self._starters[name](server.port)
            except EmbeddedError as error:
                say(f"{name} could not be started, trying again soon: {error}")
                self._not_before[name] = time.monotonic() + RESTART_PAUSE_S


def dev_secrets(environ: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets from the environment, else those `kept` in the data folder, else new ones."""
    owners: list[type[OwnSettings]] = [CoreSettings, *composition.settings_owners()]
    names = [name for owner in owners for name in owner.dev_secrets(environ)]
    return {name: environ.get(name) or kept.get(name) or token_urlsafe(48) for name in names}


def run_dev(options: DevOptions) -> None:
    """Run everything until SIGTERM or SIGINT. Raises ConfigError or EmbeddedError, which say what to do."""
    with ExitStack() as stack:
        supervisor = Supervisor(say)
        supervisor.install_signals()
        stack.enter_context(_locked(options.data))
        sock = stack.enter_context(listen(options.host, options.port))
        _run(options, sock, supervisor, stack)
        say("stopping …")
    say("stopped")


def _run(options: DevOptions, sock: socket, supervisor: Supervisor, stack: ExitStack) -> None:
    """Start the servers and the processes, and keep them running until a signal; `stack` stops them."""
    started = time.monotonic()
    stores = _Stores(options.data, stack)
    kept = read_env_file(options.data / "env")
    values = {**stores.urls, **dev_secrets(os.environ, kept)}
    for note in (owner.dev_note(os.environ) for owner in composition.settings_owners()):
        if note:
            say(note)
    _write_env(options.data, values)
    environ = {**os.environ, **values}
    settings = composition.load_settings(options.data, environ)
    say("; ".join(asyncio.run(migrate(settings))))
    if supervisor.is_stopping:
        return

    host, port = sock.getsockname()[:2]
    address = f"http://{host}:{port}"
    stack.callback(supervisor.stop)
    supervisor.start(_children(options, values, sock.fileno(), address))
    _wait_ready(supervisor, stores, f"{address}/readyz")
    if not supervisor.is_stopping:
        say(f"took {time.monotonic() - started:.1f} s; data in {options.data}; Ctrl-C stops everything")
        say(f"livegift ready: {address}")
        if options.demo:
            say(f"open in a browser: {address}/demo/")
    supervisor.run(stores.poll)


def _children(options: DevOptions, values: dict[str, str], fd: int, address: str) -> list[Child]:
    me = [sys.executable, "-m", "livegift"]
    log_format = os.environ.get("LIVEGIFT_LOG_FORMAT", "console")
    commands: list[tuple[str, list[str], tuple[int, ...]]] = [
        (f"web {i + 1}", [*me, "web", "--fd", str(fd), "--demo"], (fd,)) for i in range(options.web)
    ]
    commands += [("relay", [*me, "relay"], ()), ("aggregator", [*me, "aggregator"], ())]
    logs = options.data / "logs"
    logs.mkdir(exist_ok=True)
    children, metrics = [], []
    for (name, argv, fds), metrics_port in zip(commands, free_ports(len(commands)), strict=True):
        environ = child_environ(
            **values,
            LIVEGIFT_METRICS_PORT=str(metrics_port),
            LIVEGIFT_LOG_FORMAT=log_format,
        )
        children.append(Child(name, argv, environ, fds, logs / f"{name.replace(' ', '-')}.log"))
        metrics.append(f"{name} {metrics_port}")
    if options.demo:
        argv = [sys.executable, "-m", "livegift.dev.simulated_viewers", "--url", address]
        environ = child_environ(**values, LIVEGIFT_LOG_FORMAT=log_format)
        children.append(Child("crowd", argv, environ, log=logs / "crowd.log"))
    say(f"{', '.join(child.name for child in children)}: starting, logs in {logs} …")
    say(f"metrics on http://127.0.0.1:PORT/metrics: {', '.join(metrics)}")
    return children


def _wait_ready(supervisor: Supervisor, stores: _Stores, url: str) -> None:
    """Wait until gifts can be sent. Raises LivegiftError saying what is missing."""
    deadline = time.monotonic() + DEV_READY_TIMEOUT_S
    last = "no answer"
    while not supervisor.is_stopping:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own http address
                return
        except urllib.error.HTTPError as error:
            last = error.read().decode()
        except OSError as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise LivegiftError(f"not ready after {DEV_READY_TIMEOUT_S:g} s: {last}")
        supervisor.poll()
        stores.poll()
        time.sleep(READY_POLL_S)
