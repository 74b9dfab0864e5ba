"""Many at once: a process that ends sends its viewers away one by one; who comes too often or too fast is refused."""

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from livegift.hub.rates import Admission
from livegift.runtime.settings import Settings
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

VIEWERS = 12


@pytest.mark.slow
async def test_viewers_are_sent_away_over_a_window_and_no_gift_is_lost(system: System) -> None:
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"ann": 10_000})
    viewers = [Viewer(system.address(), system.token(f"viewer-{n}")) for n in range(VIEWERS)]
    async with Viewer(system.address(), system.token("ann")) as ann:
        for viewer in viewers:
            await viewer.__aenter__()
            await viewer.join("r1")
        process = system.processes["web 1"]
        process.send_signal(signal.SIGTERM)
        bye = await ann.expect("bye")
        sent = 0
        while not ann.close_code:
            try:
                await ann.send(type="gift.send", ref=f"late-{sent}", room="r1", gift_id="rose")
            except Exception:  # noqa: BLE001 - closed by now
                break
            sent += 1
            await asyncio.sleep(0.01)  # a pace, not a wait for something
        assert await ann.closed() == 1012
        answered = {ref for ref, result in ann.results.items() if result.get("status") == "accepted"}
        byes = [bye, *[await viewer.expect("bye") for viewer in viewers]]
        assert [await viewer.closed() for viewer in viewers] == [1012] * VIEWERS
        await asyncio.to_thread(process.wait, 15)
        assert process.returncode in (0, -signal.SIGTERM)  # uvicorn ends as the signal would have
    waits = [frame["reconnect_in_ms"] for frame in byes]
    assert len(set(waits)) > VIEWERS // 2, "spread"
    assert max(waits) <= system.settings.drain_s * 1000
    assert all(frame["reason"] == "restarting" for frame in byes)
    for viewer in viewers:
        await viewer.__aexit__()
    # What was sent and not answered any more is repeated at the next process: nothing is lost, nothing twice.
    system.start_one("web 1")
    await asyncio.to_thread(system.wait_ready, "web 1")
    async with Viewer(system.address(), system.token("ann")) as ann:
        for n in range(sent):
            result = await ann.gift("r1", ref=f"late-{n}")
            assert result["status"] in (("duplicate",) if f"late-{n}" in answered else ("accepted", "duplicate"))
        _, wallet = system.http("GET", "/v1/wallet", token=system.token("ann"))
        assert wallet["balance"] == 10_000 - sent
    report = await system.audit()
    assert report.passed, report.to_text()


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, connections_max=3, commands_per_s_max=5)


async def test_no_more_connections_than_allowed_and_no_more_commands(narrow: Settings, tmp_path: Path) -> None:
    with System(narrow, tmp_path / "logs") as system:
        system.start()
        viewers = [Viewer(system.address(), system.token("ann")) for _ in range(3)]
        for viewer in viewers:
            await viewer.__aenter__()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{system.address()}/v1/ws")
        response = refused.value.response
        assert response.status_code == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 6
        assert '"level": "error"' not in system.log("web 1"), "a herd would fill the log"
        await viewers[0].__aexit__()

        async def may_come() -> bool:
            try:
                async with connect(f"ws://{system.address()}/v1/ws"):
                    return True
            except InvalidStatus:
                return False

        await wait_until(may_come, "one has left, one may come")
        # All connections of a user share a rate, twice that of one.
        for n in range(20):
            for viewer in viewers[1:]:
                await viewer.send(type="ping", t=n)
        await asyncio.gather(*(viewer.expect("error", code="rate_limited") for viewer in viewers[1:]))
        for _ in range(300):
            await viewers[1].send_raw('{"type":"ping"}')
        assert await viewers[1].closed() == 4429
        for viewer in viewers[1:]:
            await viewer.__aexit__()


def test_admission_counts_what_came_and_went() -> None:
    admission = Admission(connections_max=5, per_address_max=2, per_s_max=0, address_per_s_max=0)
    assert [admission.enter("a") for _ in range(3)] == [None, None, "address"]
    assert [admission.enter("b") for _ in range(2)] == [None, None]
    assert [admission.enter(address) for address in ("c", "d")] == [None, "full"]
    admission.leave("a")
    assert admission.enter("d") is None
    admission.leave("d")
    admission.is_draining = True
    assert admission.enter("d") == "draining"
    at_once = Admission(connections_max=0, per_address_max=0, per_s_max=2, address_per_s_max=1)
    assert [at_once.enter("a") for _ in range(5)] == [None] * 4 + ["rate"]
