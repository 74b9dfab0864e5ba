"""Users whose ids are what identity providers give: separators and e-mail addresses work all the way."""

from urllib.parse import quote

from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

SENDER = "auth0|6508f1c2d3e4f5a6b7c8d9e0"
# With the sender's and without the separators these two would share a streak's key.
OTHER = "0|auth0|6508f1c2d3e4f5a6b7c8d9e0"
CREATOR = "o'brien+live@example.org"


async def test_gifts_streaks_limits_and_statements_of_wide_ids(system: System) -> None:
    system.start()
    system.open_room("wide", CREATOR)
    await system.grant({SENDER: 1_000, OTHER: 1_000})
    async with (
        Viewer(system.address(), system.token(SENDER)) as sender,
        Viewer(system.address(), system.token(OTHER)) as other,
        Viewer(system.address(), system.token(SENDER)) as second_device,
        Viewer(system.address(), system.token(CREATOR, "creator")) as creator,
    ):
        assert (await sender.expect("welcome"))["user"]["id"] == SENDER
        await creator.join("wide")
        for viewer in (sender, other, sender):
            sent = await viewer.gift("wide", "rose", to=CREATOR)
            assert sent["status"] == "accepted", sent
        await second_device.expect("wallet", balance=998)
        ends = await creator.wait_for(
            lambda: found if len(found := [e for e in creator.events("wide") if e["repeat_end"]]) == 2 else None,
            "the end of both streaks",
        )
        assert {(end["user"]["id"], end["to_user"]["id"], end["repeat_count"]) for end in ends} == {
            (SENDER, CREATOR, 2),
            (OTHER, CREATOR, 1),
        }
    own, root = system.token(SENDER), system.token("root", "admin")
    creators = system.token(CREATOR, "creator")
    await wait_until(
        lambda: system.http("GET", "/v1/creator/balance", token=creators)[1]["diamonds_total"] == 3,
        "it is booked",
    )
    (top, _) = system.http("GET", "/v1/wallet/history", token=own)[1]["items"][:2]
    assert system.http("GET", f"/v1/gifts/{top['gift_event_id']}/receipt", token=own)[1]["receiver"] == CREATOR
    assert system.http("PUT", "/v1/wallet/limits", {"day": 1}, token=own)[0] == 200
    path = f"/v1/admin/users/{quote(SENDER, safe='')}/freeze"
    assert system.http("PUT", path, {"why": "asked for"}, token=root) == (200, {"user": SENDER, "frozen": True})
    assert system.http("GET", "/v1/wallet", token=own)[1]["frozen"] is True
    acts = system.http("GET", f"/v1/admin/acts?subject={quote(f'user:{SENDER}', safe='')}", token=root)[1]["items"]
    assert [act["act"] for act in acts] == ["wallet.freeze"]
    report = await system.audit()
    assert report.passed, report.to_text()
