"""Spending limits over real sockets: each with its answer, at once when lower, later when higher."""

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


def put(system: System, user: str, **limits: int) -> dict[str, Any]:
    status, body = system.http("PUT", "/v1/wallet/limits", limits, token=system.token(user))
    assert status == 200, body
    return dict(body)


async def test_each_limit_and_its_answer(system: System) -> None:
    await system.grant({"ann": 10_000}, ref="limits")
    said = put(system, "ann", per_gift=200, day=600, month=700)
    assert (said["own"], said["pending"]) == ({"per_gift": 200, "day": 600, "month": 700}, None)
    async with Viewer(system.address(), system.token("ann")) as ann:
        over = await ann.gift("r1", "balloon")
        assert (over["status"], over["code"]) == ("rejected", "limit_exceeded")
        assert over["limit"] == {"kind": "per_gift", "whose": "own", "allowed": 200, "used": 0, "resets_ms": None}
        for _ in range(5):
            assert (await ann.gift("r1", "confetti"))["status"] == "accepted"
        over = await ann.gift("r1", "sunglasses")
        assert (over["limit"]["kind"], over["limit"]["allowed"], over["limit"]["used"]) == ("day", 600, 500)
        assert over["limit"]["resets_ms"] == said["resets_ms"]["day"]
        assert over["balance"] == 9_500, "nothing was charged"
        put(system, "ann", per_gift=200, month=560)  # the day's limit is taken off, which waits
        over = await ann.gift("r1", "confetti")
        assert (over["limit"]["kind"], over["limit"]["allowed"]) == ("month", 560)
    now = system.http("GET", "/v1/wallet/limits", token=system.token("ann"))[1]
    assert now["used"] == {"day": 500, "month": 500}
    assert now["own"] == {"per_gift": 200, "day": 600, "month": 560}
    assert now["pending"] == {"per_gift": 200, "day": None, "month": 560}
    assert now["effective"]["month"] == {"allowed": 560, "whose": "own"}
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_reminders_reach_all_devices(system: System) -> None:
    await system.grant({"bea": 10_000}, ref="limits")
    put(system, "bea", day=1_000)
    async with (
        Viewer(system.address(), system.token("bea")) as phone,
        Viewer(system.address(), system.token("bea")) as tablet,
    ):
        for _ in range(10):
            await phone.gift("r1", "confetti")
        for device in (phone, tablet):
            for percent in (50, 80, 100):
                said = await device.expect("limit.reminder", percent=percent)
                assert (said["kind"], said["allowed"], said["used"]) == ("day", 1_000, percent * 10)


async def test_a_frozen_wallet_says_why_and_a_known_ref_is_answered(system: System) -> None:
    await system.grant({"cat": 100}, ref="limits")
    admin = system.token("root", "admin")
    async with Viewer(system.address(), system.token("cat")) as cat:
        first = await cat.gift("r1", "heart", ref="before")
        path = "/v1/admin/users/cat/freeze"
        assert system.http("PUT", path, {"why": "a guardian has called"}, token=system.token("cat"))[0] == 403
        assert system.http("PUT", path, {"why": "a guardian has called"}, token=admin)[0] == 200
        assert (await cat.gift("r1", "heart"))["code"] == "wallet_frozen"
        again = await cat.gift("r1", "heart", ref="before")
        assert (again["status"], again["gift_event_id"]) == ("duplicate", first["gift_event_id"])

        def why() -> Any:
            return system.http("GET", "/v1/wallet", token=system.token("cat"))[1].get("frozen_reason")

        await wait_until(lambda: why() == "a guardian has called", "the reason is booked")
        assert system.http("DELETE", path, token=admin)[0] == 200
        assert (await cat.gift("r1", "heart"))["status"] == "accepted"
    acts = system.http("GET", "/v1/admin/acts?subject=user:cat", token=admin)[1]["items"]
    assert [act["act"] for act in acts] == ["wallet.thaw", "wallet.freeze"]
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_ages_and_regions(system: System) -> None:
    await system.grant({"dan": 100_000}, ref="limits")
    cases = [
        ({"age_verified": False}, "age_restricted"),
        ({"age": 17}, "age_restricted"),
        ({"age": 17, "region": "CN"}, "age_restricted"),
        ({"age": 13, "region": "KR"}, "age_restricted"),
        ({"age": 15, "region": "KR"}, "limit_exceeded"),
        ({"age": 30, "region": "CN"}, ""),
        ({"region": "DE"}, ""),
    ]
    for claims, code in cases:
        async with Viewer(system.address(), system.token("dan", **claims)) as dan:
            result = await dan.gift("r1", "fireworks")
            assert result.get("code", "") == code, (claims, result)
            if code == "limit_exceeded":
                assert (result["limit"]["whose"], result["limit"]["allowed"]) == ("operator", 1_000)
    assert {item["id"] for item in system.http("GET", "/v1/regions")[1]["items"]} == {
        "default", "eu", "uk", "us", "kr", "cn",
    }  # fmt: skip
    assert "withdraw" in system.http("GET", "/v1/regions/eu")[1]["withdrawal_notice"]
    assert system.http("GET", "/v1/regions/xx")[0] == 404
