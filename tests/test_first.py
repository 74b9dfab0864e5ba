"""The main job in its thinnest form: one of each process."""

from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until


async def test_a_gift_goes_all_the_way(system: System) -> None:
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 1000})
    async with (
        Viewer(system.address(), system.token("alice")) as alice,
        Viewer(system.address(), system.token("carol")) as carol,
        Viewer(system.address(), system.token("bob", "creator")) as bob,
    ):
        welcome = await alice.expect("welcome")
        assert welcome["balance"] == 1000
        for viewer in (alice, carol, bob):
            snapshot = await viewer.join("r1")
            assert snapshot["creator"] == {"id": "bob", "name": "Bob"}
        result = await alice.gift("r1", "rose", count=3, message="hi <b>there</b>")
        assert result["status"] == "accepted"
        assert (result["coins"], result["balance"]) == (3, 997)
        for viewer in (alice, carol, bob):
            event = await viewer.wait_for(
                lambda viewer=viewer: next((e for e in viewer.events("r1") if e["type"] == "gift"), None), "the gift"
            )
            assert event["id"] == result["gift_event_id"]
            assert event["user"] == {"id": "alice", "name": "Alice"}
            assert event["message"] == "hi <b>there</b>"
            assert (event["count"], event["repeat_count"], event["repeat_end"]) == (3, 3, False)
        end = await carol.wait_for(
            lambda: next((e for e in carol.events("r1") if e["type"] == "gift" and e["repeat_end"]), None), "the end"
        )
        assert (end["count"], end["repeat_count"], end["combo_id"]) == (0, 3, event["combo_id"])
        credited = await bob.expect("creator.credited")
        assert credited["balance"] == 3
        status, body = system.http("GET", "/v1/creator/balance", token=system.token("bob", "creator"))
        assert (status, body["diamonds_total"]) == (200, 3)
        assert carol.gap("r1") is None
    report = await system.audit()
    assert report.passed, report.to_text()
    await wait_until(lambda: True, "nothing")
