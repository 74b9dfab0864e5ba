"""No surface narrows down who sent an anonymous gift: not by name, nor by anything that it shares with named ones."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Raw

from livegift.contract.bounds import ANONYMOUS_TIME_MS
from livegift.contract.journal import GiftSent
from livegift.domain.entries import Row
from livegift.domain.partitions import Position
from livegift.processes.publishing import in_turn
from tests.conftest import PARTITIONS
from tests.hostile import unharmed
from tests.system import System
from tests.test_creators import balance, raw
from tests.viewer import Viewer
from tests.waiting import wait_until

# What an anonymous gift may have in common with others: what was given, where, to whom. Anything else is told by it.
OF_THE_GIFT = {"type", "gift", "to_user", "count", "repeat_count", "repeat_end", "coins", "diamonds"}
A_PLACE = re.compile(r"\b\d{1,4}-\d{1,4}-\d+\b")


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


class Stage:
    """A room in which each of several people has sent a named and an anonymous gift of the same kind."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.room, self.creator = f"masks-{uuid4().hex[:6]}", f"host-{uuid4().hex[:6]}"
        self.host = system.token(self.creator, "creator")
        self.fans = [f"fan-{n}-{uuid4().hex[:4]}" for n in range(6)]
        self.named: dict[str, str] = {}  # user -> event
        self.secret: dict[str, str] = {}
        self.surfaces: dict[str, str] = {}

    async def play(self) -> None:
        system = self.system
        system.open_room(self.room, self.creator)
        await system.grant(dict.fromkeys(self.fans, 2_010), ref=self.room)
        async with (
            Viewer(system.address(), self.host) as host,
            Viewer(system.address(), system.token("passer-by")) as guest,
        ):
            await host.join(self.room)
            await guest.join(self.room)
            for fan in self.fans:
                async with Viewer(system.address(), system.token(fan)) as viewer:
                    for found, anonymous in ((self.named, False), (self.secret, True)):
                        result = await viewer.gift(self.room, "rose", anonymous=anonymous)
                        assert result["status"] == "accepted"
                        found[fan] = result["gift_event_id"]
            ended = len(self.fans) * 4  # each gift, and the end of its streak

            def gifts() -> list[dict[str, Any]]:
                return [event for event in host.events(self.room) if event["type"] == "gift"]

            await host.wait_for(lambda: len(gifts()) == ended, "all streaks have ended")
            self.events = gifts()
            await wait_until(
                lambda: balance(system, self.host)["diamonds_total"] == len(self.fans) * 2, "all is booked"
            )
            self.snapshot = await guest_again(system, self.room)
            self.surfaces |= {"host": json.dumps(host.frames), "guest": json.dumps(guest.frames)}
        self.surfaces["snapshot"] = json.dumps(self.snapshot)

    def get(self, path: str, token: str) -> str:
        status, text = raw(self.system, "GET", path, token)
        assert status in (200, 404), text
        return text


async def guest_again(system: System, room: str) -> dict[str, Any]:
    async with Viewer(system.address(), system.token("late")) as late:
        return await late.join(room)


@pytest.fixture
async def stage(system: System) -> Stage:
    made = Stage(system)
    await made.play()
    return made


async def test_no_surface_tells_who_it_was(stage: Stage) -> None:
    system, days = stage.system, statement_days()
    secrets = [event for event in stage.events if event["anonymous"]]
    shown = [event for event in stage.events if not event["anonymous"]]
    assert Counter(bool(event["count"]) for event in secrets) == {True: len(stage.fans), False: len(stage.fans)}

    # Frames: an anonymous event shares nothing with any named one but what was given.
    theirs = {leaf for event in shown for name in event.keys() - OF_THE_GIFT for leaf in leaves(event[name])}
    for event in secrets:
        assert event["user"] == {"name": "Anonymous"}
        assert event["ts_ms"] % ANONYMOUS_TIME_MS == 0
        mine = {
            leaf for name in event.keys() - OF_THE_GIFT - {"ts_ms", "anonymous", "seq"} for leaf in leaves(event[name])
        }
        assert not mine & theirs, event
    assert len({event["id"] for event in stage.events}) == len(stage.events)
    assert {event["combo_id"] for event in secrets}.isdisjoint(event["combo_id"] for event in shown)

    # Ranks: as if there had been the named gifts alone.
    assert [row["coins"] for row in stage.snapshot["top"]] == [1] * len(stage.fans)
    assert stage.snapshot["totals"]["gifters"] == len(stage.fans)

    # What else the creator can ask for.
    surfaces = dict(stage.surfaces)
    for name in ("", "&group=day", "&group=room", "&format=csv"):
        surfaces[f"statement{name}"] = stage.get(f"/v1/creator/statement?{days}{name}", stage.host)
    for fan, secret in stage.secret.items():
        receipt = stage.get(f"/v1/gifts/{secret}/receipt", stage.host)
        surfaces[f"receipt of {fan}"] = receipt
        facts = json.loads(receipt)
        assert facts["batch_id"] is None
        assert facts["sent_ms"] % ANONYMOUS_TIME_MS == facts["booked_ms"] % 1000 == 0
        assert fan not in receipt
        assert "not_found" in stage.get(f"/v1/gifts/{secret}/receipt", system.token("passer-by"))
        surfaces[f"undo of {fan}"] = json.dumps(
            system.http("POST", f"/v1/gifts/{secret}/undo", token=system.token("passer-by", region="DE"))
        )
    surfaces["room"] = stage.get(f"/v1/rooms/{stage.room}", stage.host)
    lines = json.loads(surfaces["statement"])["items"]
    hidden = [line for line in lines if line["what"] == "gift" and line["sender"] is None]
    assert {line["ref"] for line in hidden} == set(stage.secret.values())
    assert {line["batch_id"] for line in hidden} == {None}
    assert {line["at_ms"] % 1000 for line in lines} == {0}

    # Places in journals begin with the partition.
    for name, text in surfaces.items():
        assert not A_PLACE.search(without_days(text)), f"{name}: {A_PLACE.search(without_days(text))}"

    # What operators watch: no line and no label that has both, or any of the fans at all.
    for name in system.processes:
        log = system.log(name)
        assert not any(secret in log for secret in stage.secret.values()), name
        assert not any(fan in log for fan in stage.fans), name


async def test_pages_of_a_statement_go_on_behind_an_anonymous_gift(stage: Stage) -> None:
    path, cursor, lines = f"/v1/creator/statement?{statement_days()}&limit=5", "", []
    while cursor is not None:
        page = json.loads(stage.get(f"{path}&cursor={cursor}" if cursor else path, stage.host))
        lines += page["items"]
        cursor = page["next_cursor"]
    assert lines == json.loads(stage.get(f"/v1/creator/statement?{statement_days()}", stage.host))["items"]
    assert len({line["key"] for line in lines}) == len(stage.fans) * 2
    foreign = lines[0]["key"].replace(lines[0]["ref"], "g" + "A" * 22)
    assert "invalid" in raw(stage.system, "GET", f"{path}&cursor={foreign}", stage.host)[1]


async def test_an_undone_anonymous_gift_stays_anonymous(system: System) -> None:
    room, creator = f"undone-{uuid4().hex[:6]}", f"host-{uuid4().hex[:6]}"
    system.open_room(room, creator)
    await system.grant({"kim-k": 1_500}, ref=room)
    host = system.token(creator, "creator")
    async with Viewer(system.address(), host) as watcher, Viewer(system.address(), system.token("kim-k")) as kim:
        await watcher.join(room)
        event = (await kim.gift(room, "fireworks", anonymous=True))["gift_event_id"]

        def undone() -> bool:
            token = system.token("kim-k", region="DE")
            return system.http("POST", f"/v1/gifts/{event}/undo", token=token)[0] == 200

        await wait_until(undone, "it is booked and undone")
        await watcher.wait_for(
            lambda: [e for e in watcher.events(room) if e["type"] == "gift.revoked"], "the room is told"
        )
        seen = json.dumps(watcher.frames)
    path = f"/v1/creator/statement?{statement_days()}"

    def is_told() -> bool:
        return f'"ref":"undo:{event}"' in raw(system, "GET", path, host)[1]

    await wait_until(is_told, "the diamonds went back where it was booked")
    statement = raw(system, "GET", path, host)[1]
    for text in (seen, statement, raw(system, "GET", f"{path}&format=csv", host)[1]):
        assert "kim" not in text
        assert not A_PLACE.search(without_days(text))
    assert not any(
        "kim" in line for name in system.processes for line in system.log(name).splitlines() if event in line
    )
    history = system.http("GET", "/v1/wallet/history", token=system.token("kim-k"))[1]["items"]
    assert {item.get("gift_event_id", event) for item in history} == {event}


@pytest.mark.parametrize(
    "event", ["1-1-1", "1-1-99999999999999999999", "99999999999999999999-1-1", "g" + "A" * 22, "%C3%A9", "a" * 3000]
)
def test_ids_that_were_made_up_are_not_found(system: System, event: str) -> None:
    for method, what in (("GET", "receipt"), ("POST", "undo")):
        status, answer = system.http(method, f"/v1/gifts/{event}/{what}", token=system.token("ann", region="DE"))
        assert (status, answer["code"]) == (404, "not_found")


def test_entries_that_were_read_together_stand_in_no_order_of_partitions() -> None:
    """Each partition's in theirs, or rooms would pass over what was overtaken."""
    found = {partition: [row(partition, n) for n in range(1, 9)] for partition in range(PARTITIONS)}
    mixed = list(in_turn(found))
    assert [place for place, _ in mixed] != sorted(place for place, _ in mixed)
    for partition, rows in found.items():
        assert [entry for place, entry in mixed if place == partition] == rows
    first = Counter(next(iter(in_turn(found)))[0] for _ in range(400))
    assert len(first) == PARTITIONS, "each may come first"
    assert list(in_turn({3: found[3]})) == [(3, entry) for entry in found[3]]


def test_what_was_sent_in_another_second_stays_in_its_order() -> None:
    found = {0: [row(0, 1, ts_ms=5_000)], 1: [row(1, 1, ts_ms=3_000), row(1, 2, ts_ms=9_000)]}
    for _ in range(20):
        assert [entry.entry.ts_ms for _, entry in in_turn(found)] == [3_000, 5_000, 9_000]


def row(partition: int, n: int, ts_ms: int = 1_000) -> Row:
    json_ = Raw(b"{}")
    # fmt: off
    gift = GiftSent(
        f"user-{partition}", n, 0, f"ref-{n}", "r1", "bob", "rose", 1, 1, 1, f"{partition}-1-{n}", 1, repeat_end=True,
        anonymous=False, ts_ms=ts_ms, user_json=json_, details_json=json_, message_json=json_,
    )
    # fmt: on
    return Row(Position(1, n), gift, b"")


def leaves(value: object) -> Iterator[object]:
    """Every text and number in a piece of JSON that could link two events."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def statement_days() -> str:
    today = datetime.now(UTC).date()
    return f"from={today - timedelta(days=1)}&to={today + timedelta(days=2)}"


def without_days(text: str) -> str:
    return re.sub(r"\b20\d\d-\d\d-\d\d\b", "", text)
