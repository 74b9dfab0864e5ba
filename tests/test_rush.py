"""A rush in one room: viewers are shown what the cap lets through, the creator everything, and both can add it up."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from livegift.runtime.settings import Settings
from tests.system import System
from tests.viewer import Viewer

GIFTS = 60
EVENTS_PER_S = 10


def seen(viewer: Viewer, room: str) -> dict[str, int]:
    """What the frames add up to: gifts and coins, those that were not shown included."""
    frames = [f for f in viewer.frames if f["type"] == "room.events" and f["room"] == room]
    gifts = [e for f in frames for e in f["events"] if e["type"] == "gift" and e["count"]]
    left_out = [f["omitted"] for f in frames if "omitted" in f]
    return {
        "gifts": sum(e.get("merged", 1) for e in gifts) + sum(o["count"] for o in left_out),
        "coins": sum(e["coins"] for e in gifts) + sum(o["coins"] for o in left_out),
    }


def last(viewer: Viewer, room: str) -> dict[str, Any]:
    return [f for f in viewer.frames if f["type"] == "room.events" and f["room"] == room][-1]


@pytest.mark.parametrize("fast_path", [True, False], ids=["direct", "plain"])
async def test_viewers_see_the_cap_and_the_creator_sees_all(
    settings: Settings, tmp_path: Path, *, fast_path: bool
) -> None:
    changed = msgspec.structs.replace(
        settings, room_events_max=EVENTS_PER_S, always_shown_coins=500, fast_path=fast_path
    )
    with System(changed, tmp_path / "logs") as system:
        system.start()
        system.open_room("r1", "cat")
        await system.grant({"ann": 10_000, "bob": 10_000}, ref="rush")
        async with (
            Viewer(system.address(), system.token("ann")) as ann,
            Viewer(system.address(), system.token("bob")) as bob,
            Viewer(system.address(), system.token("cat")) as creator,
            Viewer(system.address(), system.token("obs", "overlay", rooms=["r1"])) as overlay,
        ):
            everybody = (ann, bob, creator, overlay)
            for viewer in everybody:
                await viewer.join("r1")
            # A hundred flowers in two streaks, and two dear ones among them with words.
            sends = [(who.gift("r1", "rose")) for _ in range(GIFTS // 2) for who in (ann, bob)]
            dear = [ann.gift("r1", "balloon", message="for you", count=2) for _ in range(2)]
            results = await asyncio.gather(*sends, *dear)
            assert {result["status"] for result in results} == {"accepted"}
            coins = sum(result["coins"] for result in results)
            for viewer in everybody:
                await viewer.wait_for(
                    lambda v=viewer: seen(v, "r1") == {"gifts": GIFTS + 2, "coins": coins}, "all gifts"
                )
                assert (last(viewer, "r1")["totals"]["gifts"], last(viewer, "r1")["totals"]["coins"]) == (
                    GIFTS + 2,
                    coins,
                )
            for viewer in (creator, overlay):
                assert viewer.gap("r1") is None
                assert len([e for e in viewer.events("r1") if e["count"]]) == GIFTS + 2
            for viewer in (ann, bob):
                shown = viewer.events("r1")
                assert len([e for e in shown if e["count"]]) < GIFTS
                assert len([e for e in shown if e.get("message") == "for you"]) == 2
                frames = [f for f in viewer.frames if f["type"] == "room.events"]
                follows = itertools.pairwise(frames)
                assert all(later["first_seq"] == before["seq"] + 1 for before, later in follows)
        report = await system.audit()
        assert report.passed, report.to_text()


async def test_pulses_tell_viewers_and_ranks(system: System) -> None:
    system.start()
    system.open_room("r1", "cat")
    await system.grant({"ann": 100}, ref="pulse")
    async with (
        Viewer(system.address(), system.token("ann")) as ann,
        Viewer(system.address(), system.token("bob")) as bob,
    ):
        for viewer in (ann, bob):
            await viewer.join("r1")
        for viewer in (ann, bob):
            pulse = await viewer.expect("room.pulse", viewers=2)
            assert "top" not in pulse, "nobody has given anything"
        for _ in range(3):
            await ann.gift("r1")
        # The first frame has the ranks as they were then; what came within the same second is told by a pulse.
        told = await bob.wait_for(
            lambda: [f for f in bob.frames if "top" in f and f["top"] and f["top"][0]["coins"] == 3], "the last ranks"
        )
        assert told[0]["top"][0]["user"]["id"] == "ann"
