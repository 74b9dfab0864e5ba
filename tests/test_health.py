"""Which part of the whole is late: told by /readyz and `livegift doctor`."""

import asyncio
import json
import signal
import subprocess
from typing import Any

import pytest

from tests.system import System, command, environ
from tests.viewer import Viewer
from tests.waiting import wait_until


def doctor(system: System) -> tuple[int, dict[str, dict[str, Any]]]:
    argv = command("doctor", "--json", "--url", f"http://{system.address()}")
    done = subprocess.run(argv, env=environ(system.settings), capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {vital["part"]: vital for vital in json.loads(done.stdout)}


def readyz(system: System) -> tuple[int, str, dict[str, str]]:
    status, body = system.http("GET", "/readyz")
    return status, body["status"], body.get("missing", {})


@pytest.mark.slow
async def test_a_relay_and_an_aggregator_that_stand_still_are_told(system: System) -> None:
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 100})
    await wait_until(lambda: readyz(system)[:2] == (200, "ok"), "all is well")
    code, parts = doctor(system)
    assert code == 0, parts
    assert set(parts) == {"postgresql", "redis", "partitions", "quarantine", "relay", "aggregator", "web"}
    for name in ("relay 1", "aggregator 1"):
        system.processes[name].send_signal(signal.SIGSTOP)
    try:
        async with Viewer(system.address(), system.token("alice")) as viewer:
            assert (await viewer.gift("r1", "rose"))["status"] == "accepted"  # nothing else tells

        def is_told() -> bool:
            status, said, missing = readyz(system)
            return (status, said, set(missing)) == (200, "degraded", {"relay", "aggregator"})

        await wait_until(is_told, "both are told", 60)
        assert "1 entries" in readyz(system)[2]["relay"]
        code, parts = await asyncio.to_thread(doctor, system)
        assert code == 1
        assert {part for part, vital in parts.items() if not vital["is_well"]} == {"relay", "aggregator"}
    finally:
        for name in ("relay 1", "aggregator 1"):
            system.processes[name].send_signal(signal.SIGCONT)
    await wait_until(lambda: readyz(system)[:2] == (200, "ok"), "all is well again", 60)
    assert (await system.audit()).passed


def test_a_doctor_with_nobody_to_ask_says_so(system: System) -> None:
    """A migrated system of which nothing runs, and one whose stores are away."""
    done = subprocess.run(
        command("doctor"), env=environ(system.settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    lines = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert lines == {
        "postgresql": "ok",
        "redis": "ok",
        "partitions": "BAD",
        "quarantine": "ok",
        "relay": "BAD",
        "aggregator": "BAD",
    }
    away = {"LIVEGIFT_REDIS_URL": "redis://127.0.0.1:1", "LIVEGIFT_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    done = subprocess.run(
        command("doctor"),
        env={**environ(system.settings), **away},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["BAD", "postgresql"], ["BAD", "redis"]]
    assert "Traceback" not in done.stderr
