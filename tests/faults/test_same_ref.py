"""The same ref many times: one gift, whatever happens around it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from livegift.operations.audit import Report
from tests.system import System
from tests.viewer import Viewer

CONNECTIONS = 50


@pytest.fixture
async def room(shared_system: System, request: pytest.FixtureRequest) -> str:
    """Provide a room and a user with coins, both for this test only."""
    name = request.node.name.replace("_", "-")[5:40]
    shared_system.open_room(f"room-{name}", f"creator-{name}")
    await shared_system.grant({f"user-{name}": 10_000}, ref=name)
    return name


async def passes(system: System) -> None:
    report: Report = await system.audit()
    assert report.passed, report.to_text()


def viewer(system: System, name: str) -> Viewer:
    return Viewer(system.address(), system.token(f"user-{name}"))


async def test_on_fifty_connections_at_once(shared_system: System, room: str) -> None:
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(viewer(shared_system, room)) for _ in range(CONNECTIONS)]
        results = await asyncio.gather(*(v.gift(f"room-{room}", "heart", ref="same") for v in viewers))
    statuses = [result["status"] for result in results]
    assert (statuses.count("accepted"), statuses.count("duplicate")) == (1, CONNECTIONS - 1)
    assert len({result["gift_event_id"] for result in results}) == 1
    assert {result["balance"] for result in results} == {10_000 - 5}
    await passes(shared_system)


async def test_twice_in_one_pipeline(shared_system: System, room: str) -> None:
    async with viewer(shared_system, room) as sender:
        for number in range(20):
            for _ in range(2):
                await sender.send(type="gift.send", ref=f"k{number}", room=f"room-{room}", gift_id="rose")

        def results() -> list[dict[str, object]]:
            return [frame for frame in sender.frames if frame["type"] == "gift.result"]

        await sender.wait_for(lambda: len(results()) == 40, "40 results")
        for number in range(20):
            mine = [result for result in results() if result["ref"] == f"k{number}"]
            assert [result["status"] for result in mine] == ["accepted", "duplicate"]
            assert len({result["gift_event_id"] for result in mine}) == 1
    await passes(shared_system)


async def test_with_another_payload(shared_system: System, room: str) -> None:
    async with viewer(shared_system, room) as sender:
        first = await sender.gift(f"room-{room}", "heart", ref="same")
        for other in ({"gift_id": "rose"}, {"count": 2}, {"anonymous": True}, {"message": "hi"}, {"price": 5}):
            conflict = await sender.gift(f"room-{room}", **{"gift_id": "heart", "ref": "same", **other})
            assert (conflict["status"], conflict["code"]) == ("rejected", "ref_conflict"), other
        again = await sender.gift(f"room-{room}", "heart", ref="same")
        assert (again["status"], again["gift_event_id"]) == ("duplicate", first["gift_event_id"])
        assert again["balance"] == 10_000 - 5
    await passes(shared_system)


async def test_with_other_payloads_at_once(shared_system: System, room: str) -> None:
    """The first one wins and alone is charged; the others are refused."""
    gifts = ("rose", "heart", "coffee", "donut", "confetti")
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(viewer(shared_system, room)) for _ in gifts * 4]
        results = await asyncio.gather(
            *(v.gift(f"room-{room}", gifts[i % 5], ref="same") for i, v in enumerate(viewers))
        )
    accepted = [result for result in results if result["status"] == "accepted"]
    duplicates = [result for result in results if result["status"] == "duplicate"]
    assert (len(accepted), len(duplicates)) == (1, 3)
    assert {r["code"] for r in results if r["status"] == "rejected"} == {"ref_conflict"}
    assert accepted[0]["balance"] == 10_000 - accepted[0]["coins"]
    await passes(shared_system)


async def test_after_the_room_has_ended(shared_system: System, room: str) -> None:
    async with viewer(shared_system, room) as sender:
        first = await sender.gift(f"room-{room}", "heart", ref="same")
        token = shared_system.token(f"creator-{room}", "creator")
        status, _ = await asyncio.to_thread(
            shared_system.http, "PATCH", f"/v1/rooms/room-{room}", {"status": "ended"}, token=token
        )
        assert status == 200
        again = await sender.gift(f"room-{room}", "heart", ref="same")
        assert (again["status"], again["gift_event_id"]) == ("duplicate", first["gift_event_id"])
        late = await sender.gift(f"room-{room}", "heart", ref="late")
        assert (late["status"], late["code"]) == ("rejected", "room_ended")
        other = await sender.gift(f"room-{room}", "rose", ref="same")
        assert (other["status"], other["code"]) == ("rejected", "ref_conflict")
    await passes(shared_system)
