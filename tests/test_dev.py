"""`livegift dev` as a person uses it: start, use, stop, start again."""

import os
import signal
import subprocess
import urllib.request
from pathlib import Path
from socket import create_server

import pytest

from tests.dev import Dev, clean_environ, get, run
from tests.system import command
from tests.waiting import wait_until

LINES_MAX = 20


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.slow
async def test_it_starts_works_stops_and_keeps_its_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Dev(data, "--web", "2") as first:
        token = await use_it_for_the_first_time(first, await first.ready())
        assert len(first.pids()) >= 7
        assert first.stop() == 0
        assert first.output.rstrip().endswith("stopped")
        await wait_until(lambda: not first.pids(), "no process is left")
    with Dev(data) as second:
        address = await second.ready()
        assert get(f"{address}/v1/wallet", token)["balance"] == 100, "the secret and the coins are kept"
        assert "all invariants hold" in run(data, "audit")
        assert second.stop(signal.SIGKILL) == -signal.SIGKILL
        await wait_until(lambda: not second.pids("livegift"), "nothing of ours outlives a killed dev", 30)
    with Dev(data) as third:
        address = await third.ready()
        assert get(f"{address}/v1/wallet", token)["balance"] == 100
        assert third.stop(signal.SIGINT) == 0
        await wait_until(lambda: not third.pids(), "no process is left")
    for text in (first.output, second.output, third.output, *third.logs.values()):
        assert "Traceback" not in text
        assert token not in text


async def use_it_for_the_first_time(dev: Dev, address: str) -> str:
    """Coins, a room, and some violence. Returns a token."""
    data = dev.data
    assert (data / "env").stat().st_mode & 0o777 == 0o600
    assert "100 coins credited, balance 100" in run(data, "grant", "--user", "alice", "--coins", "100", "--ref", "a")
    assert "nothing credited" in run(data, "grant", "--user", "alice", "--coins", "100", "--ref", "a")
    assert "is open" in run(data, "room", "--id", "r1", "--creator", "bob")
    token = run(data, "token", "--user", "alice")
    assert get(f"{address}/v1/wallet", token)["balance"] == 100
    assert get(f"{address}/v1/rooms/r1", token)["creator"]["id"] == "bob"
    (relay, *_) = dev.pids("livegift relay")
    os.kill(relay, signal.SIGKILL)
    await wait_until(lambda: "relay ended with signal SIGKILL, starting it again" in dev.output, "a line says so")
    await wait_until(lambda: dev.pids("livegift relay"), "there is a relay again")
    assert "all invariants hold" in run(data, "audit")
    (redis, *_) = dev.pids("redis-server")
    os.kill(redis, signal.SIGKILL)
    await wait_until(lambda: "Redis has died, starting it again" in dev.output, "a line says so")
    await wait_until(lambda: is_ready(address), "gifts can be sent again", 30)
    return token


@pytest.mark.slow
async def test_a_demo_says_little_and_the_address_last(tmp_path: Path) -> None:
    with Dev(tmp_path / "data", "--demo") as demo:
        address = await demo.ready()
        await wait_until(lambda: "partition.armed" in demo.logs["aggregator"], "the partitions are armed", 30)
        await wait_until(lambda: "crowd.watching" in demo.logs["crowd"], "the crowd is there", 30)
        lines = demo.output.splitlines()
        assert len(lines) < LINES_MAX - 6, "set-up and the end have some, too"
        assert lines[-2:] == [f"livegift ready: {address}", f"open in a browser: {address}/demo/"]
        assert str(tmp_path / "data" / "logs") in demo.output
        armed = [line for line in demo.logs["aggregator"].splitlines() if "partition.armed" in line]
        assert len(armed) == 1
        assert "count=64" in armed[0]
        assert sum(log.count("\n") for log in demo.logs.values()) < 64, "no line for each partition"
        assert demo.stop(signal.SIGINT) == 0
        assert demo.output.splitlines()[-2:] == ["stopping …", "stopped"]
        await wait_until(lambda: not demo.pids(), "no process is left")
    assert set(demo.logs) == {"web-1", "relay", "aggregator", "crowd"}


def test_a_process_says_where_its_settings_come_from_and_a_command_does_not(
    tmp_path: Path,
) -> None:
    nowhere = "127.0.0.1:1"
    env = f"LIVEGIFT_REDIS_URL=redis://{nowhere}\nLIVEGIFT_DATABASE_URL=postgresql://{nowhere}/d\n"
    (tmp_path / "env").write_text(env)
    for name, says_so in (("relay", True), ("audit", False)):
        done = subprocess.run(
            command(name, "--data", str(tmp_path)), capture_output=True, text=True, env=clean_environ(), check=False
        )
        assert done.returncode == 1
        assert ("settings.from_file" in done.stderr) == says_so, done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
        done = subprocess.run(
            command("dev", "--port", port, "--data", str(tmp_path / "data")),
            capture_output=True,
            text=True,
            env=clean_environ(),
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 can't be used" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_without_settings_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        command("relay", "--data", str(tmp_path)), capture_output=True, text=True, env=clean_environ(), check=False
    )
    assert done.returncode == 1
    assert "LIVEGIFT_REDIS_URL is not set" in done.stderr
    assert "livegift dev" in done.stderr
