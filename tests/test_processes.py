"""`livegift web` as an operator starts it: several processes on one port, behind a proxy, metrics on free ports."""

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websockets

from livegift.composition import load_settings
from livegift.contract.errors import ConfigError
from livegift.runtime.net import listen
from livegift.runtime.settings import Settings
from tests.system import command, environ
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # whole systems, several seconds each


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def web(settings: Settings, log: Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command("web"), env={**environ(settings), **variables}, cwd=log.parent, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def events(log: Path, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


async def test_a_port_is_free_again_as_soon_as_its_processes_stop(settings: Settings, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    several = {"LIVEGIFT_PORT": str(port), "LIVEGIFT_WEB_PROCESSES": "2", "LIVEGIFT_DRAIN_S": "4"}
    with web(settings, log, **several) as old:
        await wait_until(lambda: answers(port), "the first start serves", 60)
        url = f"ws://127.0.0.1:{port}/v1/ws"
        async with websockets.connect(url) as viewer:  # whom a draining process waits for
            old.send_signal(signal.SIGTERM)

            def is_free() -> bool:
                try:
                    listen("127.0.0.1", port).close()
                except ConfigError:
                    return False
                return True

            await wait_until(is_free, "the port is free while the old processes send their viewers away")
            assert old.poll() is None
            with web(settings, log, **several):
                await wait_until(lambda: answers(port), "the second start serves", 60)
                assert old.wait(30) == 0
            await viewer.wait_closed()
    assert "Traceback" not in log.read_text()


def test_a_port_that_is_taken_is_told_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for several in ("1", "2"):
            with web(settings, log, LIVEGIFT_PORT=str(port), LIVEGIFT_WEB_PROCESSES=several) as process:
                assert process.wait(60) == 1
    assert "Traceback" not in log.read_text()
    assert log.read_text().count(f"port {port} on 127.0.0.1 can't be used") == 2


async def test_each_process_has_metrics_whoever_came_first(settings: Settings, tmp_path: Path) -> None:
    first, log = free_port(), tmp_path / "log"
    variables = {"LIVEGIFT_PORT": "0", "LIVEGIFT_WEB_PROCESSES": "2", "LIVEGIFT_METRICS_PORT": str(first)}
    with web(settings, log, **variables), web(settings, log, **variables):
        await wait_until(lambda: len(events(log, "metrics.serving")) == 4, "all four serve metrics", 60)
    assert len({event["port"] for event in events(log, "metrics.serving")}) == 4


async def test_viewers_behind_a_trusted_proxy_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    variables = {
        "LIVEGIFT_PORT": str(port),
        "LIVEGIFT_CONNECTIONS_PER_ADDRESS_MAX": "1",
        "LIVEGIFT_TRUSTED_PROXIES": "127.0.0.0/8",
    }

    async def statuses(addresses: list[str]) -> list[int]:
        found = []
        sockets = []
        for address in addresses:
            try:
                sockets.append(
                    await websockets.connect(
                        f"ws://127.0.0.1:{port}/v1/ws", additional_headers={"X-Forwarded-For": address}, proxy=None
                    )
                )
                found.append(101)
            except websockets.InvalidStatus as refused:
                found.append(refused.response.status_code)
        for opened in sockets:
            await opened.close()
        return found

    with web(settings, log, **variables):
        await wait_until(lambda: answers(port), "it serves", 60)
        assert await statuses(["192.0.2.1", "192.0.2.2", "192.0.2.1"]) == [101, 101, 503]
    with web(settings, log, **{**variables, "LIVEGIFT_TRUSTED_PROXIES": "192.0.2.9"}):
        await wait_until(lambda: answers(port), "it serves", 60)
        assert await statuses(["192.0.2.1", "192.0.2.2"]) == [101, 503]


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1;10.0.0.1"])
def test_what_is_no_network_is_told_at_the_start(wrong: str) -> None:
    stores = {"LIVEGIFT_REDIS_URL": "redis://h", "LIVEGIFT_DATABASE_URL": "postgresql://h"}
    with pytest.raises(ConfigError, match="LIVEGIFT_TRUSTED_PROXIES"):
        load_settings(Path("none"), {**stores, "LIVEGIFT_TRUSTED_PROXIES": wrong})
