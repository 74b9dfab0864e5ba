"""What operators sell, over HTTP on real processes: packages with prices, promotions, gifts; orders as lists."""

import gzip
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import unharmed
from tests.system import System, command, environ
from tests.waiting import wait_until

ROSE = {"name": "Rose", "coins": 1, "diamond_count": 1, "streakable": True, "tier": 1, "icon": "🌹"}
PACKAGE = {"coins": 700, "prices": [{"region": "DE", "currency": "EUR", "amount": 1299}]}
PROMOTION = {"package_id": "coins-100", "bonus_coins": 20, "starts_ms": 0, "ends_ms": 10**13, "per_user_max": 1}


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def call(system: System, method: str, path: str, body: object = None, role: str = "admin") -> tuple[int, Any]:
    return system.http(method, path, body, token=system.token("root", role))


def order(system: System, user: str, body: dict[str, Any], key: str | None = None) -> tuple[int, Any]:
    return system.http("POST", "/v1/orders", body, token=system.token(user), key=key)


def test_a_package_is_sold_where_it_has_a_price(system: System) -> None:
    assert call(system, "PUT", "/v1/admin/coin-packages/big", PACKAGE)[0] == 200
    (sold,) = (p for p in call(system, "GET", "/v1/coin-packages?region=DE")[1]["packages"] if p["id"] == "big")
    assert (sold["coins"], sold["amount"], sold["currency"]) == (700, 1299, "EUR")
    assert order(system, "ann", {"package_id": "big", "region": "DE"})[1]["amount"] == 1299
    assert order(system, "ann", {"package_id": "big"})[1]["code"] == "package_not_found"
    call(system, "PUT", "/v1/admin/coin-packages/big", {**PACKAGE, "active": False})
    assert order(system, "ann", {"package_id": "big", "region": "DE"})[1]["code"] == "package_not_found"
    listed = {item["id"]: item for item in call(system, "GET", "/v1/admin/coin-packages")[1]["items"]}
    assert listed["big"]["active"] is False
    assert listed["coins-100"]["prices"]
    acts = call(system, "GET", "/v1/admin/acts?subject=package:big")[1]["items"]
    assert [act["act"] for act in acts] == ["package.put", "package.put"]
    assert acts[1]["details"]["prices"][0]["amount"] == 1299


def test_a_promotion_counts_once_for_each_and_ends(system: System) -> None:
    path = "/v1/admin/promotions/spring"
    assert call(system, "PUT", path, PROMOTION)[0] == 200
    assert [order(system, "bea", {"package_id": "coins-100"})[1]["bonus_coins"] for _ in range(2)] == [20, 0]
    assert order(system, "cay", {"package_id": "coins-100"})[1]["bonus_coins"] == 20
    call(system, "PUT", path, {**PROMOTION, "ends_ms": int(time.time() * 1000) - 1})
    assert order(system, "dan", {"package_id": "coins-100"})[1]["bonus_coins"] == 0
    assert [p["id"] for p in call(system, "GET", "/v1/admin/promotions?limit=1")[1]["items"]] == ["spring"]


async def test_a_gift_changes_from_now_on(system: System) -> None:
    kiss = {**ROSE, "name": "Kiss", "coins": 3}

    def shown() -> dict[str, int]:
        return {gift["id"]: gift["coins"] for gift in call(system, "GET", "/v1/gifts")[1]["gifts"]}

    assert call(system, "PUT", "/v1/admin/gifts/kiss", kiss)[0] == 200
    await wait_until(lambda: shown().get("kiss") == 3, "the gift can be sent")
    call(system, "PUT", "/v1/admin/gifts/kiss", {**kiss, "active": False})
    await wait_until(lambda: "kiss" not in shown(), "it can't any more")


async def test_what_a_gift_lacks_can_be_bought(system: System) -> None:
    await system.grant({"eve": 400})
    lacking = {"shortfall": {"gift_id": "balloon", "count": 2}}
    status, made = order(system, "eve", lacking, "k1")
    assert (status, made["coins"]) == (201, 600)
    await system.grant({"eve": 1}, "more")
    assert order(system, "eve", lacking, "k1")[1]["id"] == made["id"]  # what was agreed on stays
    assert order(system, "eve", {"shortfall": {"gift_id": "rose"}})[1]["code"] == "invalid"
    assert order(system, "eve", {"shortfall": {"gift_id": "unheard-of"}})[1]["code"] == "gift_not_found"
    assert order(system, "eve", {**lacking, "package_id": "coins-100"})[1]["code"] == "invalid"


def test_orders_are_listed_in_pages(system: System) -> None:
    made = [order(system, "fay", {"package_id": "coins-100"})[1]["id"] for _ in range(3)]
    token, seen, cursor = system.token("fay"), [], ""
    while cursor is not None:
        page = system.http("GET", f"/v1/orders?limit=2&cursor={cursor}", token=token)[1]
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    assert call(system, "GET", "/v1/admin/orders?user=fay&limit=1")[1]["items"][0]["id"] == made[2]
    assert call(system, "GET", "/v1/admin/orders?user=fay", role="viewer")[0] == 403
    assert call(system, "GET", "/v1/admin/orders")[1]["code"] == "invalid"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("gifts/kiss", {**ROSE, "coins": 0}),
        ("gifts/a b", ROSE),
        ("coin-packages/big", {**PACKAGE, "prices": PACKAGE["prices"] * 2}),
        ("coin-packages/big", {**PACKAGE, "prices": [{"region": "DE", "currency": "eur", "amount": 1}]}),
        ("promotions/spring", {**PROMOTION, "ends_ms": 0}),
        ("promotions/spring", {**PROMOTION, "package_id": "none"}),
        ("promotions/spring", {**PROMOTION, "more": 1}),
    ],
)
def test_what_is_not_valid_changes_nothing(system: System, path: str, body: object) -> None:
    status, answer = call(system, "PUT", f"/v1/admin/{path.replace(' ', '%20')}", body)
    assert status in (400, 404), answer
    assert answer["code"] in ("invalid", "package_not_found")
    assert call(system, "PUT", f"/v1/admin/{path.replace(' ', '%20')}", body, role="creator")[0] == 403


def catalogue(system: System, if_none_match: str = "") -> tuple[int, dict[str, str], bytes]:
    headers = {"Accept-Encoding": "gzip", **({"If-None-Match": if_none_match} if if_none_match else {})}
    request = urllib.request.Request(f"http://{system.address()}/v1/gifts", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def load(system: System, path: Path) -> "subprocess.CompletedProcess[str]":
    """`livegift gifts load`."""
    argv = command("gifts", "load", str(path), "--by", "root")
    return subprocess.run(argv, env=environ(system.settings), capture_output=True, text=True, timeout=60, check=False)


async def test_a_large_catalogue_is_loaded_from_a_file_and_listed_compressed_and_once(
    system: System, tmp_path: Path
) -> None:
    picture = "https://cdn.example.com/gifts/{}.png"
    rows = [{"id": f"n{i}", "name": "", "coins": 1 + i * 60, "icon": picture.format(i)} for i in range(900)]
    path = tmp_path / "gifts.json"
    path.write_text(json.dumps([*rows, {"id": "panda", "name": "Panda", "coins": 5}]))
    assert "901 gifts" in load(system, path).stdout
    await wait_until(lambda: len(json.loads(gzip.decompress(catalogue(system)[2]))["gifts"]) > 900, "all are listed")
    _, headers, body = catalogue(system)
    listed = {gift["id"]: gift for gift in json.loads(gzip.decompress(body))["gifts"]}
    assert (listed["panda"]["icon"], listed["panda"]["diamond_count"], listed["panda"]["streakable"]) == ("🎁", 5, True)
    assert (listed["n1"]["name"], listed["n1"]["icon"], listed["n1"]["tier"]) == ("Gift n1", picture.format(1), 1)
    assert (listed["n899"]["tier"], listed["n899"]["streakable"]) == (3, False)
    assert headers["content-encoding"] == "gzip"
    assert "accept-encoding" in headers["vary"].lower()
    assert catalogue(system, headers["etag"])[::2] == (304, b"")
    assert catalogue(system, f'"other", {headers["etag"]}')[0] == 304
    assert call(system, "PUT", "/v1/admin/gifts/panda", {**ROSE, "name": "Panda", "coins": 6})[0] == 200
    await wait_until(lambda: catalogue(system, headers["etag"])[0] == 200, "a change is another list")
    acts = call(system, "GET", "/v1/admin/acts?subject=gift:panda")[1]["items"]
    assert [act["actor"] for act in acts] == ["root", "root"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "expected 1 to"),
        ('[{"id": "a", "coins": 1}, {"id": "a", "coins": 2}]', "each gift once"),
        ('{"gifts": [{"id": "a", "coins": 0}]}', "gifts[0].coins"),
        ('[{"id": "a", "coins": 1, "icon": "http://plain.example/x.png"}]', "https://"),
        ("id,coins", "malformed"),
    ],
)
def test_a_file_that_is_no_catalogue_changes_nothing(system: System, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "gifts.json"
    path.write_text(content)
    done = load(system, path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
