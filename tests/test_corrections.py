"""Corrections under dual control and a room's audit, over HTTP on real processes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def ask(system: System, by: str, **body: object) -> tuple[int, Any]:
    return system.http("POST", "/v1/admin/corrections", body, token=system.token(by, "admin"))


def decide(system: System, by: str, correction: str, decision: str) -> tuple[int, Any]:
    return system.http("POST", f"/v1/admin/corrections/{correction}/{decision}", token=system.token(by, "admin"))


def balance(system: System, user: str) -> int:
    return int(system.http("GET", "/v1/wallet", token=system.token(user))[1]["balance"])


def status_of(system: System, correction: str) -> str:
    body = system.http("GET", "/v1/admin/corrections", token=system.token("root", "admin"))[1]
    return str(next(item for item in body["items"] if item["id"] == correction)["status"])


async def test_a_correction_takes_two_people_and_moves_once(system: System) -> None:
    await system.grant({"ann": 50}, ref="cor")
    status, asked = ask(system, "root", id="fix-1", user="ann", coins=70, why="a purchase was lost")
    assert (status, asked["status"]) == (201, "requested")
    assert ask(system, "other", id="fix-1", user="ann", coins=70, why="a purchase was lost")[0] == 201, "the same"
    assert ask(system, "root", id="fix-1", user="ann", coins=71, why="a purchase was lost")[1]["code"] == "conflict"
    assert decide(system, "root", "fix-1", "approve")[1]["code"] == "second_person_required"
    assert balance(system, "ann") == 50
    answers = await asyncio.gather(*(asyncio.to_thread(decide, system, "second", "fix-1", "approve") for _ in range(4)))
    assert {status for status, _ in answers} == {200}
    assert balance(system, "ann") == 120
    await wait_until(lambda: status_of(system, "fix-1") == "applied", "it is booked")
    assert decide(system, "third", "fix-1", "reject")[1]["code"] == "conflict"
    acts = system.http("GET", "/v1/admin/acts?subject=user:ann", token=system.token("root", "admin"))[1]["items"]
    assert [(act["actor"], act["act"]) for act in acts] == [
        ("second", "correction.approve"),
        ("root", "correction.request"),
    ]
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_what_a_wallet_does_not_have_is_refused(system: System) -> None:
    await system.grant({"ben": 5}, ref="cor")
    ask(system, "root", id="take-1", user="ben", coins=-6, why="given by mistake")
    assert decide(system, "second", "take-1", "approve")[1]["status"] == "refused"
    assert balance(system, "ben") == 5
    ask(system, "root", id="take-2", user="ben", coins=-5, why="given by mistake")
    assert decide(system, "root", "take-2", "reject")[1]["status"] == "rejected"
    report = await system.audit()
    assert report.passed, report.to_text()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"user": "ann", "coins": 0, "why": "x"}, "invalid"),
        ({"user": "ann", "why": "x"}, "invalid"),
        ({"user": "ann", "coins": 5}, "invalid"),
        ({"user": "ann", "coins": 5, "why": ""}, "invalid"),
        ({"user": "ann", "coins": 10**14, "why": "x"}, "invalid"),
        ({"user": "ann", "coins": 5, "why": "x", "gift_event_id": "1-1-1"}, "invalid"),
        ({"gift_event_id": "nonsense", "why": "x"}, "not_found"),
        ({"gift_event_id": "1-99-1", "why": "x"}, "not_found"),
        ({"gift_event_id": "1-1-99999999999999999999", "why": "x"}, "not_found"),
    ],
)
def test_what_makes_no_sense_is_refused(system: System, body: dict[str, object], code: str) -> None:
    assert ask(system, "root", **body)[1]["code"] == code


def test_only_operators_may(system: System) -> None:
    for method, path in (
        ("GET", "/v1/admin/acts"),
        ("GET", "/v1/admin/corrections"),
        ("POST", "/v1/admin/corrections"),
        ("POST", "/v1/admin/corrections/x/approve"),
        ("GET", "/v1/admin/rooms/r1/audit"),
    ):
        assert system.http(method, path, token=system.token("eve", "creator"))[0] == 403, path
        assert system.http(method, path)[0] == 401, path


async def test_a_gift_is_revoked_for_everybody_and_the_room_stays_proven(system: System) -> None:
    system.open_room("cor-1", "cleo")
    await system.grant({"dan": 1_000}, ref="cor")
    admin = system.token("root", "admin")
    async with (
        Viewer(system.address(), system.token("eva")) as eva,
        Viewer(system.address(), system.token("dan")) as dan,
    ):
        await eva.send(type="room.join", room="cor-1")
        await eva.expect("room.snapshot")
        await dan.send(type="gift.send", ref="g1", room="cor-1", gift_id="balloon")
        await dan.wait_for(lambda: "g1" in dan.results, "the result")
        event = dan.results["g1"]["gift_event_id"]
        before = int(
            system.http("GET", "/v1/creator/balance", token=system.token("cleo", "creator"))[1]["diamonds_total"]
        )

        def asked() -> bool:
            return ask(system, "root", id="rev-1", gift_event_id=event, why="stolen card")[0] == 201

        await wait_until(asked, "the gift is booked")
        assert ask(system, "root", id="rev-2", gift_event_id=event, why="again")[1]["code"] == "conflict"
        assert decide(system, "second", "rev-1", "approve")[0] == 200

        def revoked() -> dict[str, Any] | None:
            events = [e for f in eva.frames if f["type"] == "room.events" for e in f["events"]]
            return next((e for e in events if e["type"] == "gift.revoked"), None)

        shown = await eva.wait_for(revoked, "everybody learns of it")
        del shown["ts_ms"], shown["seq"], shown["id"]
        combo_id = dan.results["g1"]["combo"]["id"]
        about = {"type": "gift.revoked", "gift_event_id": event, "combo_id": combo_id, "count": 1}
        assert shown == {**about, "coins": 500, "diamonds": 500}, "what it was, and not whose"
        last = [f for f in eva.frames if f["type"] == "room.events"][-1]
        assert last["totals"] == {"gifts": 0, "coins": 0, "diamonds": 0, "gifters": 0}
    assert balance(system, "dan") == 1_000
    await wait_until(lambda: status_of(system, "rev-1") == "applied", "it is booked")
    after = int(system.http("GET", "/v1/creator/balance", token=system.token("cleo", "creator"))[1]["diamonds_total"])
    assert before in (0, 500), "0 when the gift was not yet booked before"
    assert after == 0
    proof = system.http("GET", "/v1/admin/rooms/cor-1/audit", token=admin)[1]
    assert (proof["passed"], proof["totals"]["coins"], proof["gifters_compared"]) == (True, 0, 0)
    assert proof["revoked"] == {"gifts": 1, "coins": 500, "diamonds": 500}
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_a_dear_gift_can_be_undone_for_a_while_where_the_region_says_so(system: System) -> None:
    system.open_room("undone", "bob")
    await system.grant({"kim": 5_000}, ref="undo")
    async with Viewer(system.address(), system.token("kim", region="DE")) as kim:
        await kim.join("undone")
        sent = [await kim.gift("undone", gift) for gift in ("fireworks", "balloon")]
        dear, cheap = (str(result["gift_event_id"]) for result in sent)

        def undo(event_id: str, user: str = "kim", region: str = "DE") -> tuple[int, Any]:
            return system.http("POST", f"/v1/gifts/{event_id}/undo", token=system.token(user, region=region))

        await wait_until(lambda: undo(cheap)[1]["code"] == "too_late", "it is booked, and too cheap")
        assert undo(dear, region="US")[1]["code"] == "too_late"
        assert undo(dear, user="eve")[1]["code"] == "not_found"
        answers = await asyncio.gather(*(asyncio.to_thread(undo, dear) for _ in range(3)))
        assert {status for status, _ in answers} == {200}
        assert balance(system, "kim") == 5_000 - 500

        def revoked() -> list[str]:
            return [e["gift_event_id"] for e in kim.events("undone") if e["type"] == "gift.revoked"]

        await wait_until(lambda: revoked() == [dear], "the room is told")
        frames = [f for f in kim.frames if f["type"] == "room.events"]
        assert frames[-1]["totals"] == {"gifts": 1, "coins": 500, "diamonds": 500, "gifters": 1}
    async with Viewer(system.address(), system.token("eve")) as eve:
        snapshot = await eve.join("undone")
        assert [(row["user"]["id"], row["coins"]) for row in snapshot["top"]] == [("kim", 500)]
    await wait_until(lambda: status_of(system, f"undo:{dear}") == "applied", "it is booked")
    report = await system.audit()
    assert report.passed, report.to_text()
