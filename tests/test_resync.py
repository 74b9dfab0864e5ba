"""After a loss viewers learn by themselves what is true: their balance, and the room as it is."""

from pathlib import Path

import pytest

from livegift.composition import make_settings
from livegift.operations.migrate import migrate
from tests.conftest import COMMON
from tests.system import System
from tests.test_recovery import OwnRedis
from tests.viewer import Viewer
from tests.waiting import wait_until


@pytest.mark.slow
async def test_a_viewer_learns_that_the_wallet_and_the_room_went_back(tmp_path: Path, database_url: str) -> None:
    """Redis loses gifts that nobody has booked: they never happened, and the viewer who is connected is told so."""
    redis = OwnRedis(tmp_path)
    try:
        settings = make_settings(redis_url=redis.server.url, database_url=database_url, **COMMON)
        await migrate(settings)
        with System(settings, tmp_path / "logs") as system:
            system.start()
            system.open_room("r1", "bob")
            await system.grant({"alice": 1000})
            async with Viewer(system.address(), system.token("alice")) as alice:
                await alice.join("r1")
                assert (await alice.gift("r1", "heart"))["balance"] == 995
                report = await system.audit()
                assert report.passed, report.to_text()
                redis.copy("before")
                system.wait_ready("web 1")
                system.kill("aggregator 1")
                lost = await alice.gift("r1", "heart", ref="lost")
                assert (lost["status"], lost["balance"]) == ("accepted", 990)
                redis.put_back("before")
                system.start_one("aggregator 1")
                told = await alice.expect("wallet", 30, reason="resync")
                assert (told["balance"], told["seq"]) == (995, lost["wallet_seq"] - 1)
                system.wait_ready("web 1")
                await wait_until(lambda: latest_totals(alice) == 1, "the room shows one gift", 20)
                again = await alice.gift("r1", "heart", ref="lost")
                assert (again["status"], again["balance"]) == ("accepted", 990), "it is charged once"
                await wait_until(lambda: latest_totals(alice) == 2, "the room shows two gifts", 20)
            report = await system.audit()
            assert report.passed, report.to_text()
    finally:
        redis.server.stop()


def latest_totals(viewer: Viewer) -> int | None:
    """Gifts in the room, as the last frame that tells them says."""
    frames = [frame for frame in viewer.frames if frame["type"] in ("room.snapshot", "room.events")]
    return int(frames[-1]["totals"]["gifts"]) if frames else None
