"""Creators over HTTP on real processes: what they earn, how they are paid, how all of it is explained."""

import csv
import http.client
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

IBAN = "DE89 3704 0044 0532 0130 00"


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def raw(system: System, method: str, path: str, token: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(system.address(), timeout=10)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def earn(system: System, creator: str, gifts: int) -> str:
    """`gifts` universes for `creator`; the creator's token."""
    room, token = f"room-of-{creator}", system.token(creator, "creator")
    system.open_room(room, creator)
    await system.grant({f"fan-of-{creator}": 34_999 * gifts}, ref="earn")
    async with Viewer(system.address(), system.token(f"fan-of-{creator}")) as fan:
        for _ in range(gifts):
            assert (await fan.gift(room, "universe"))["status"] == "accepted"

    def booked() -> bool:
        return bool(balance(system, token)["diamonds_total"] == 34_999 * gifts)

    await wait_until(booked, "the gifts are booked")
    return token


def balance(system: System, token: str) -> dict[str, Any]:
    return dict(system.http("GET", "/v1/creator/balance", token=token)[1])


def days() -> str:
    today = datetime.now(UTC).date()
    return f"from={today - timedelta(days=1)}&to={today + timedelta(days=2)}"


async def test_from_gifts_to_money(system: System) -> None:
    token, admin = await earn(system, "cleo", 1), system.token("root", "admin")
    before = balance(system, token)
    assert (before["diamonds_pending"], before["diamonds_available"]) == (0, 34_999), "no holding period here"
    assert system.http("POST", "/v1/payouts", {"diamonds": 20_001}, token=token)[1]["code"] == "payout_not_possible"
    assert system.http("PUT", "/v1/creator/payout-account", {"holder": "Cleo C", "iban": IBAN}, token=token)[1] == {
        "holder": "Cleo C",
        "iban": "DE89…3000",
    }
    asked = [raw(system, "POST", "/v1/payouts", token, b'{"diamonds":20001}', **{"Idempotency-Key": "k"}) for _ in "ab"]
    assert asked[0] == asked[1]
    assert asked[0][0] == 201
    payout = system.http("GET", "/v1/payouts", token=token)[1]["items"][0]
    assert (payout["diamonds"], payout["amount"], payout["status"]) == (20_000, 10_000, "requested")
    other = system.token("eve", "creator")
    assert system.http("GET", f"/v1/payouts/{payout['id']}", token=other)[0] == 404
    assert system.http("DELETE", f"/v1/payouts/{payout['id']}", token=other)[0] == 404
    path = f"/v1/admin/payouts/{payout['id']}"
    assert system.http("POST", f"{path}/approve", token=token)[0] == 403
    own = system.token("cleo", "admin")
    assert system.http("POST", f"{path}/approve", token=own)[1]["code"] == "second_person_required"
    assert system.http("POST", f"{path}/approve", token=admin)[1]["status"] == "approved"
    status, batch = system.http("POST", "/v1/admin/payout-batches", {"id": "may"}, token=admin)
    assert (status, batch["payouts"], batch["amount"]) == (201, 1, 10_000)
    file = raw(system, "GET", "/v1/admin/payout-batches/may", admin)[1]
    assert file == raw(system, "GET", "/v1/admin/payout-batches/may", admin)[1]
    (row,) = csv.DictReader(io.StringIO(file))
    assert row == {
        "payout": payout["id"],
        "holder": "Cleo C",
        "iban": "DE89370400440532013000",
        "amount": "100.00",
        "currency": "USD",
    }
    result = f"payout,status,why\r\n{payout['id']},paid,\r\n".encode()
    for _ in range(2):
        assert raw(system, "POST", "/v1/admin/payout-batches/may/result", admin, result)[0] == 200
    after = balance(system, token)
    assert (after["diamonds_total"], after["diamonds_in_payout"], after["diamonds_paid"]) == (14_999, 0, 20_000)
    acts = system.http("GET", f"/v1/admin/acts?subject=payout:{payout['id']}", token=admin)[1]["items"]
    assert [act["act"] for act in acts] == ["payout.pay", "payout.approve"]

    body = system.http("GET", f"/v1/creator/statement?{days()}", token=token)[1]
    assert [(line["what"], line["diamonds"]) for line in body["items"]] == [("gift", 34_999), ("payout.hold", -20_000)]
    assert (body["opening_diamonds"], body["closing_diamonds"], body["closed"]) == (0, 14_999, False)
    as_csv = raw(system, "GET", f"/v1/creator/statement?{days()}&format=csv", token)[1]
    rows = list(csv.DictReader(io.StringIO(as_csv)))
    assert sum(int(row["diamonds"]) for row in rows) == 14_999
    assert (rows[0]["room"], rows[0]["sender"], rows[0]["gift_id"]) == ("room-of-cleo", "fan-of-cleo", "universe")
    by_room = system.http("GET", f"/v1/creator/statement?{days()}&group=room", token=token)[1]["items"]
    assert {(g["what"], g["room"], g["diamonds"]) for g in by_room} == {
        ("gift", "room-of-cleo", 34_999),
        ("payout.hold", None, -20_000),
    }
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_a_payout_that_fails_comes_back(system: System) -> None:
    token, admin = await earn(system, "dora", 1), system.token("root", "admin")
    system.http("PUT", "/v1/creator/payout-account", {"holder": "Dora", "iban": IBAN}, token=token)
    payout = system.http("POST", "/v1/payouts", {"diamonds": 30_000}, token=token)[1]["id"]
    system.http("POST", f"/v1/admin/payouts/{payout}/approve", token=admin)
    batch = system.http("POST", "/v1/admin/payout-batches", {}, token=admin)[1]["id"]
    path = f"/v1/admin/payout-batches/{batch}/result"
    for bad in (b"", b"payout,status\n", b"payout,status,why\nx,paid,\n", b"payout,status,why\n,maybe,\n", b"\xff"):
        status, body = raw(system, "POST", path, admin, bad)
        assert (status, "code" in body) in ((400, True), (409, True)), body
    result = f"payout,status,why\n{payout},failed,no such account\n".encode()
    assert raw(system, "POST", path, admin, result)[0] == 200
    found = system.http("GET", f"/v1/payouts/{payout}", token=token)[1]
    assert (found["status"], found["why"]) == ("failed", "no such account")
    assert balance(system, token)["diamonds_available"] == 34_999
    report = await system.audit()
    assert report.passed, report.to_text()


@pytest.mark.parametrize(
    "query",
    ["", "from=2026-01-01", "from=2026-02-01&to=2026-01-01", "from=2020-01-01&to=2026-01-01", "from=x&to=y",
     "from=2026-01-01&to=2026-02-01&group=week", "from=2026-01-01&to=2026-02-01&cursor=nonsense"],
)  # fmt: skip
def test_statements_that_make_no_sense(system: System, query: str) -> None:
    status, body = system.http("GET", f"/v1/creator/statement?{query}", token=system.token("cleo", "creator"))
    assert (status, body["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "body", [{"holder": "=cmd()", "iban": IBAN}, {"holder": "Cleo", "iban": "DE00 1"}, {"holder": "", "iban": IBAN},
             {"holder": "Cleo\n", "iban": IBAN}, {"holder": "Cleo", "iban": IBAN[:-1] + "1"}],
)  # fmt: skip
def test_accounts_that_are_none(system: System, body: dict[str, str]) -> None:
    status, answer = system.http("PUT", "/v1/creator/payout-account", body, token=system.token("cleo", "creator"))
    assert (status, answer["code"]) == (400, "invalid")
