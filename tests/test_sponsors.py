"""Sponsor matches on real processes: paid once, matched once, shown as such, and what is left comes back once."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def post(system: System, room: str, key: str, **body: object) -> tuple[int, dict[str, Any]]:
    """An operator funds a match, under an Idempotency-Key."""
    request = urllib.request.Request(f"http://{system.address()}/v1/admin/rooms/{room}/matches", method="POST")
    request.add_header("Authorization", f"Bearer {system.token('root', 'admin')}")
    request.add_header("Idempotency-Key", key)
    given = {"sponsor_name": "ACME", "title": "Doubles every rose", "gift_id": "rose", **body}
    try:
        with urllib.request.urlopen(request, json.dumps(given).encode(), timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def known(system: System, room: str) -> list[dict[str, Any]]:
    status, body = system.http("GET", f"/v1/admin/rooms/{room}/matches", token=system.token("root", "admin"))
    assert status == 200, body
    items: list[dict[str, Any]] = body["items"]
    return items


async def becomes(system: System, room: str, status: str) -> dict[str, Any]:
    await wait_until(lambda: known(system, room)[0]["status"] == status, f"the match is {status}", 30)
    return known(system, room)[0]


def wallet(system: System, user: str) -> int:
    return int(system.http("GET", "/v1/wallet", token=system.token(user))[1]["balance"])


def diamonds(system: System, creator: str) -> int:
    token = system.token(creator, "creator")
    return int(system.http("GET", "/v1/creator/balance", token=token)[1]["diamonds_total"])


class Stage:
    """A room of its own with a creator, a viewer with coins and a sponsor with coins."""

    def __init__(self, system: System) -> None:
        name = uuid4().hex[:8]
        self.system = system
        self.room, self.creator, self.viewer, self.sponsor = (f"{part}-{name}" for part in ("r", "c", "v", "brand"))

    async def open(self, coins: int = 1000, budget: int = 1000) -> "Stage":
        self.system.open_room(self.room, self.creator)
        await self.system.grant({self.viewer: coins, self.sponsor: budget})
        return self

    async def funded(self, **body: object) -> dict[str, Any]:
        status, match = post(self.system, self.room, uuid4().hex, sponsor=self.sponsor, **body)
        assert status == 201, match
        return await becomes(self.system, self.room, "active")

    def watching(self) -> Viewer:
        return Viewer(self.system.address(), self.system.token(self.viewer))

    async def passes(self) -> None:
        report = await self.system.audit()
        assert report.passed, report.to_text()


async def test_roses_are_doubled_until_the_budget_is_used(system: System) -> None:
    stage = await Stage(system).open()
    match = await stage.funded(budget_coins=7)
    assert wallet(system, stage.sponsor) == 993
    async with stage.watching() as viewer, Viewer(system.address(), system.token(stage.creator, "creator")) as creator:
        snapshot = await viewer.join(stage.room)
        shown = {"match_id": match["id"], "sponsor": "ACME", "factor": 1, "used_coins": 0, "status": "active"}
        assert [shown.items() <= item.items() for item in snapshot["matches"]] == [True]
        for count in (3, 2, 5):
            assert (await viewer.gift(stage.room, count=count))["status"] == "accepted"
        await viewer.gift(stage.room, "heart")

        def over() -> dict[str, Any] | None:
            events = [event for event in viewer.events(stage.room) if event["type"] == "match"]
            assert [e["used_coins"] for e in events] == sorted(e["used_coins"] for e in events)
            return next((event for event in events if event["status"] == "exhausted"), None)

        last = await viewer.wait_for(over, "the match's last event")
        assert (last["used_coins"], last["budget_coins"]) == (7, 7)
        # 10 roses and a heart of 5 by the viewer, 7 roses by the sponsor.
        await wait_until(lambda: diamonds(system, stage.creator) == 22, "the creator has both")

        def credited() -> list[int]:
            frames = [frame for frame in creator.frames if frame["type"] == "creator.credited"]
            sums = [sum(f["diamonds"] for f in frames), sum(f.get("matched_diamonds", 0) for f in frames)]
            return sums if sums[0] >= 22 else []

        assert await creator.wait_for(credited, "all credits") == [22, 7]
        assert viewer.gap(stage.room) is None
        totals = [frame["totals"] for frame in viewer.frames if frame["type"] == "room.events"][-1]
        assert totals["coins"] == 15, "totals are what viewers paid"
    async with stage.watching() as viewer:
        assert (await viewer.join(stage.room))["matches"] == []
    assert system.http("GET", f"/v1/rooms/{stage.room}/matches")[1]["items"] == []
    await stage.passes()


async def test_what_is_left_comes_back_once(system: System) -> None:
    stage = await Stage(system).open()
    match = await stage.funded(budget_coins=100)
    async with stage.watching() as viewer:
        await viewer.join(stage.room)
        await viewer.gift(stage.room, count=30)
        await wait_until(lambda: known(system, stage.room)[0]["used_coins"] == 30, "the roses are matched")
        path = f"/v1/admin/rooms/{stage.room}/matches/{match['id']}"
        assert system.http("DELETE", path, token=system.token(stage.viewer))[0] == 403
        answers = [system.http("DELETE", path, token=system.token("root", "admin")) for _ in range(3)]
        assert {status for status, _ in answers} == {200}
        await viewer.gift(stage.room, count=10)
        ended = await becomes(system, stage.room, "returned")
        assert (ended["used_coins"], ended["returned_coins"]) == (30, 70)
        await viewer.wait_for(
            lambda: [e for e in viewer.events(stage.room) if e["type"] == "match" and e["status"] == "ended"], "its end"
        )
    assert wallet(system, stage.sponsor) == 970
    await wait_until(lambda: diamonds(system, stage.creator) == 70, "what came after the end was not matched")
    await stage.passes()


async def test_the_same_key_pays_once(system: System) -> None:
    stage = await Stage(system).open()
    body = {"sponsor": stage.sponsor, "budget_coins": 400}
    answers = await asyncio.gather(*(asyncio.to_thread(post, system, stage.room, "k", **body) for _ in range(4)))
    assert {status for status, _ in answers} == {201}
    assert len({match["id"] for _, match in answers}) == 1
    await becomes(system, stage.room, "active")
    assert wallet(system, stage.sponsor) == 600
    assert post(system, stage.room, "k", sponsor=stage.sponsor, budget_coins=401)[0] == 409


async def test_nobody_sponsors_with_coins_they_do_not_have(system: System) -> None:
    stage = await Stage(system).open(budget=10)
    status, problem = post(system, stage.room, "poor", sponsor=stage.sponsor, budget_coins=11)
    assert (status, problem["code"]) == (402, "insufficient_coins")
    assert known(system, stage.room)[0]["status"] == "ended"
    await system.grant({stage.sponsor: 10}, ref="later")
    status, problem = post(system, stage.room, "poor", sponsor=stage.sponsor, budget_coins=11)
    assert (status, problem["code"]) == (409, "conflict")
    assert wallet(system, stage.sponsor) == 20
    await stage.passes()


async def test_what_is_refused(system: System) -> None:
    stage = await Stage(system).open()
    wrong: list[tuple[dict[str, object], str]] = [
        ({"sponsor": stage.creator}, "invalid"),
        ({"gift_id": "nothing"}, "gift_not_found"),
        ({"gift_id": "universe"}, "invalid"),  # dearer than the budget
        ({"budget_coins": 0}, "invalid"),
        ({"factor": 10}, "invalid"),
        ({"ends_ms": 1}, "invalid"),
        ({"starts_ms": 4 * 10**12, "ends_ms": 4 * 10**12}, "invalid"),
        ({"title": ""}, "invalid"),
        ({"more": 1}, "invalid"),
    ]
    for body, code in wrong:
        status, problem = post(system, stage.room, uuid4().hex, **{"sponsor": stage.sponsor, "budget_coins": 5, **body})
        assert (status >= 400, problem["code"]) == (True, code), problem
    assert post(system, "nowhere", "x", sponsor=stage.sponsor, budget_coins=5)[1]["code"] == "room_not_found"
    path = f"/v1/admin/rooms/{stage.room}/matches"
    assert system.http("POST", path, {}, token=system.token(stage.creator, "creator"))[0] == 403
    assert system.http("DELETE", f"{path}/nothing", token=system.token("root", "admin"))[0] == 404
    for _ in range(5):
        await stage.funded(budget_coins=5)
    status, problem = post(system, stage.room, uuid4().hex, sponsor=stage.sponsor, budget_coins=5)
    assert (status, problem["code"]) == (409, "too_many_matches")
    assert known(system, stage.room)[0]["status"] == "active"


@pytest.mark.slow
async def test_a_match_ends_with_its_room(system: System) -> None:
    stage = await Stage(system).open()
    await stage.funded(budget_coins=100)
    token = system.token(stage.creator, "creator")
    assert system.http("PATCH", f"/v1/rooms/{stage.room}", {"status": "ended"}, token=token)[0] == 200
    async with stage.watching() as viewer:
        assert (await viewer.join(stage.room))["matches"] == []
    await becomes(system, stage.room, "returned")
    assert wallet(system, stage.sponsor) == 1000
    await stage.passes()


async def test_operators_acts_are_noted(system: System) -> None:
    stage = await Stage(system).open()
    match = await stage.funded(budget_coins=5)
    path = f"/v1/admin/rooms/{stage.room}/matches/{match['id']}"
    for _ in range(2):
        system.http("DELETE", path, token=system.token("root", "admin"))
    with psycopg.connect(system.settings.database_url) as connection:
        rows = connection.execute(
            "SELECT actor, act FROM operator_acts WHERE subject = %s ORDER BY id", (f"match:{match['id']}",)
        ).fetchall()
    assert rows == [("root", "match.fund"), ("root", "match.end")]


@pytest.mark.slow
async def test_killed_aggregators_match_each_gift_once(system: System) -> None:
    stage = await Stage(system).open(coins=5000, budget=5000)
    await stage.funded(budget_coins=300)
    async with stage.watching() as viewer:
        await viewer.join(stage.room)
        for turn in range(4):
            for _ in range(20):
                await viewer.send(type="gift.send", ref=uuid4().hex, room=stage.room, gift_id="rose", count=5)
            if turn < 3:
                system.kill("aggregator 1")
                system.start_one("aggregator 1")
        await viewer.wait_for(lambda: len(viewer.results) == 80, "all answers")
        assert {result["status"] for result in viewer.results.values()} == {"accepted"}
        events = viewer.events
        await viewer.wait_for(lambda: [e for e in events(stage.room) if e.get("status") == "exhausted"], "its end", 40)
    await wait_until(lambda: diamonds(system, stage.creator) == 700, "400 roses, and 300 of the sponsor", 30)
    assert wallet(system, stage.sponsor) == 4700
    await stage.passes()
