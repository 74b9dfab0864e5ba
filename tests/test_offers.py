"""What operators sell, over HTTP on real processes: packages with prices, promotions, gifts; orders as lists."""

import asyncio
import gzip
import hashlib
import hmac
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livegift.features.orders.settings import OrderSettings
from livegift.payments.sandbox import SIGNATURE_HEADER
from tests.hostile import unharmed
from tests.system import System, command, environ
from tests.test_orders import decide
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
    offers = {item["id"]: item for item in call(system, "GET", "/v1/admin/coin-packages")[1]["items"]}
    assert offers["big"]["active"] is False
    assert offers["coins-100"]["prices"]
    acts = call(system, "GET", "/v1/admin/acts?subject=package:big")[1]["items"]
    assert [act["act"] for act in acts] == ["package.put", "package.put"]
    assert acts[1]["details"]["prices"][0]["amount"] == 1299


def listed(system: System, user: str | None = None, region: str = "US") -> dict[str, dict[str, Any]]:
    token = system.token(user) if user else None
    body = system.http("GET", f"/v1/coin-packages?region={region}", token=token)[1]
    return {package["id"]: package for package in body["packages"]}


def read(system: System, user: str, made: dict[str, Any]) -> dict[str, Any]:
    return dict(system.http("GET", f"/v1/orders/{made['id']}", token=system.token(user))[1])


def test_a_promotion_counts_once_for_each_and_ends(system: System) -> None:
    path = "/v1/admin/promotions/spring"
    assert call(system, "PUT", path, PROMOTION)[0] == 200
    # Nothing is used up by a checkout that is opened, and the list says the same.
    first, second = (order(system, "bea", {"package_id": "coins-100"})[1] for _ in range(2))
    assert (first["bonus_coins"], second["bonus_coins"], listed(system, "bea")["coins-100"]["bonus_coins"]) == (20,) * 3
    assert (first["bonus_coins_before"], first["promotion_id"], first["promotion_granted"]) == (0, "spring", None)
    # The one that is paid first has it; the other one, and the list, say so at once.
    decide(system, second, "pay")
    assert (read(system, "bea", second)["bonus_coins"], read(system, "bea", first)["bonus_coins"]) == (20, 0)
    assert listed(system, "bea")["coins-100"]["bonus_coins"] == 0
    assert order(system, "bea", {"package_id": "coins-100"})[1]["promotion_id"] is None
    assert listed(system)["coins-100"]["bonus_coins"] == 20
    decide(system, first, "pay")
    late = read(system, "bea", first)
    assert (late["bonus_coins"], late["promotion_granted"]) == (0, False)
    assert order(system, "cay", {"package_id": "coins-100"})[1]["bonus_coins"] == 20
    call(system, "PUT", path, {**PROMOTION, "ends_ms": int(time.time() * 1000) - 1})
    assert order(system, "dan", {"package_id": "coins-100"})[1]["bonus_coins"] == 0
    assert [p["id"] for p in call(system, "GET", "/v1/admin/promotions?limit=1")[1]["items"]] == ["spring"]


async def test_declined_orders_that_are_paid_later_have_the_promotion_once(system: System) -> None:
    call(system, "PUT", "/v1/admin/promotions/once", {**PROMOTION, "package_id": "coins-550", "bonus_coins": 50})
    made = [order(system, "cat", {"package_id": "coins-550"})[1] for _ in range(5)]
    for one in made:
        decide(system, one, "decline")
    for one in made:
        decide(system, one, "pay")
    await wait_until(lambda: balance(system, "cat") == 5 * 550 + 50, "all are credited, one with the bonus")
    call(system, "PUT", "/v1/admin/promotions/once", {**PROMOTION, "package_id": "coins-550", "ends_ms": 1})
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_payments_at_once_have_the_promotion_once(system: System) -> None:
    call(system, "PUT", "/v1/admin/promotions/race", {**PROMOTION, "package_id": "coins-1250", "bonus_coins": 50})
    made = [order(system, "dea", {"package_id": "coins-1250"})[1] for _ in range(6)]
    await asyncio.gather(*(asyncio.to_thread(decide, system, one, "pay") for one in made))
    await wait_until(lambda: balance(system, "dea") == 6 * 1250 + 50, "all are credited, one with the bonus")
    call(system, "PUT", "/v1/admin/promotions/race", {**PROMOTION, "package_id": "coins-1250", "ends_ms": 1})
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_a_promotion_may_lower_the_price(system: System) -> None:
    half = {**PROMOTION, "package_id": "coins-2650", "bonus_coins": 0, "percent_off": 50}
    path = "/v1/admin/promotions/half"
    assert call(system, "PUT", path, {**half, "percent_off": 0})[1]["code"] == "invalid"
    assert call(system, "PUT", path, {**half, "percent_off": 91})[1]["code"] == "invalid"
    assert call(system, "PUT", path, half)[0] == 200
    shown = listed(system, "ela")["coins-2650"]
    assert (shown["amount"], shown["amount_before"], shown["bonus_coins"]) == (1999, 3999, 0)
    assert listed(system, "ela", "JP")["coins-2650"]["amount"] == 3200
    first, second = (order(system, "ela", {"package_id": "coins-2650"})[1] for _ in range(2))
    assert (first["amount"], first["amount_before"]) == (1999, 3999)
    for one in (first, second):
        decide(system, one, "pay")
    # No money is kept for nothing: what was paid after the promotion was used buys as much as at the full price.
    assert (read(system, "ela", first)["coins"], read(system, "ela", second)["coins"]) == (2650, 2650 * 1999 // 3999)
    await wait_until(lambda: balance(system, "ela") == 2650 + 2650 * 1999 // 3999, "both are credited")
    assert listed(system, "ela")["coins-2650"]["amount"] == 3999
    call(system, "PUT", path, {**half, "ends_ms": 1})
    report = await system.audit()
    assert report.passed, report.to_text()


def test_every_region_has_prices_its_own_or_others(system: System) -> None:
    for asked, priced, currency in (
        ("US", "US", "USD"), ("DE", "DE", "EUR"), ("de", "DE", "EUR"), ("IT", "DE", "EUR"), ("JE", "GB", "GBP"),
        ("JP", "JP", "JPY"), ("KR", "KR", "KRW"), ("ZW", "US", "USD"), ("none-such", "US", "USD"), ("%20", "US", "USD"),
    ):  # fmt: skip
        body = system.http("GET", f"/v1/coin-packages?region={asked}")[1]
        assert (body["priced_region"], {p["currency"] for p in body["packages"]}) == (priced, {currency}), asked
        assert len(body["packages"]) >= 5
    assert [p["amount"] for p in listed(system).values() if p["id"] != "big"] == [199, 999, 1999, 3999, 7999]
    made = order(system, "flo", {"package_id": "coins-100", "region": "ZW"})[1]
    assert (made["region"], made["priced_region"], made["amount"], made["currency"]) == ("ZW", "US", 199, "USD")
    # Who has a region in the token is shown, and pays, its prices.
    german = system.token("gil", region="de")
    body = system.http("GET", "/v1/coin-packages?region=US", token=german)[1]
    assert (body["region"], body["packages"][0]["currency"]) == ("DE", "EUR")
    status, made = system.http("POST", "/v1/orders", {"package_id": "coins-100", "region": "DE"}, token=german)
    assert (status, made["amount"], made["currency"]) == (201, 219, "EUR")
    rates = system.http("GET", "/v1/rates")[1]["packages"]
    assert {"US", "GB", "DE", "FR", "ES", "BR", "MX", "JP", "KR", "IN", "ID", "AE"} <= {row["region"] for row in rates}


def balance(system: System, user: str) -> int:
    return int(system.http("GET", "/v1/wallet", token=system.token(user))[1]["balance"])


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
        ("promotions/spring", {**PROMOTION, "bonus_coins": 0}),
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


def say(system: System, made: dict[str, Any], kind: str) -> int:
    """The sandbox's webhook about an order's payment."""
    ref, at_s = made["checkout_url"].rpartition("/")[2], int(time.time())
    event = {"id": f"evt-{ref}-{kind}", "type": kind, "order_id": made["id"], "ref": ref}
    body = json.dumps(event | {"amount": made["amount"], "currency": made["currency"]}).encode()
    signature = hmac.new(
        system.settings.of(OrderSettings).sandbox_secrets.encode(), b"%d." % at_s + body, hashlib.sha256
    ).hexdigest()
    status, _ = system.post("/v1/payments/sandbox/webhook", body, {SIGNATURE_HEADER: f"t={at_s},v1={signature}"})
    return status


async def test_a_promotion_is_decided_when_a_payment_is_first_heard_of_by_its_end(system: System) -> None:
    """The refund overtakes the payment, and then fails: then the coins are due, with what was promised or without."""
    assert call(system, "PUT", "/v1/admin/promotions/late", {**PROMOTION, "package_id": "coins-550"})[0] == 200
    orders = [order(system, "gus", {"package_id": "coins-550"})[1] for _ in range(2)]
    for made in orders:
        for kind in ("refunded", "refund_failed"):
            assert await asyncio.to_thread(say, system, made, kind) == 200

        async def is_credited(made: dict[str, Any] = made) -> bool:
            return read(system, "gus", made)["status"] == "credited"

        await wait_until(is_credited, "the coins are there")
    assert [read(system, "gus", made)["promotion_granted"] for made in orders] == [True, False]
    assert system.http("GET", "/v1/wallet", token=system.token("gus"))[1]["balance"] == 550 + 20 + 550
    assert (await system.audit()).passed
