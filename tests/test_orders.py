"""Buying coins over HTTP on real processes: paid once, credited once, given back once."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from livegift.features.orders.settings import OrderSettings
from livegift.payments.sandbox import SIGNATURE_HEADER, Sandbox, SandboxPayment
from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def buy(system: System, user: str, **body: object) -> dict[str, Any]:
    status, order = system.http("POST", "/v1/orders", body, token=system.token(user))
    assert (status, order.get("status")) == (201, "created"), order
    return dict(order)


def decide(system: System, order: dict[str, Any], decision: str) -> tuple[int, str]:
    path = "/v1/payments/" + order["checkout_url"].partition("/v1/payments/")[2]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return system.post(path, f"decision={decision}".encode(), headers)


async def becomes(system: System, user: str, order: dict[str, Any], status: str) -> None:
    def there() -> bool:
        return bool(system.http("GET", f"/v1/orders/{order['id']}", token=system.token(user))[1]["status"] == status)

    await wait_until(there, f"the order is {status}")


def wallet(system: System, user: str) -> dict[str, Any]:
    return dict(system.http("GET", "/v1/wallet", token=system.token(user))[1])


async def test_a_package_is_paid_and_credited_once(system: System) -> None:
    order = buy(system, "ann", package_id="coins-100")
    assert decide(system, order, "decline")[0] == 200
    for _ in range(3):  # also after a decline, and however often
        assert decide(system, order, "pay")[0] == 200
    await becomes(system, "ann", order, "credited")
    assert wallet(system, "ann")["balance"] == 100
    assert system.http("GET", f"/v1/orders/{order['id']}", token=system.token("eve"))[0] == 404
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_a_chargeback_takes_the_coins_back_and_freezes_with_a_reason(system: System) -> None:
    order = buy(system, "bea", package_id="coins-550")
    decide(system, order, "pay")
    await becomes(system, "bea", order, "credited")
    await system.grant({"bea": 10}, ref="extra")
    # Spent coins can't be given back: the wallet goes below zero.
    async with Viewer(system.address(), system.token("bea")) as viewer:
        await viewer.send(type="gift.send", ref="spent", room="r1", gift_id="balloon")
        await wait_until(lambda: "spent" in viewer.results, "the gift has an answer")
        assert viewer.results["spent"]["status"] == "accepted"
    for _ in range(2):
        assert decide(system, order, "dispute")[0] == 200
    await wait_until(lambda: wallet(system, "bea").get("frozen_reason") == "chargeback", "the reason is known")
    assert wallet(system, "bea")["balance"] == 10 - 500
    await becomes(system, "bea", order, "charged_back")
    report = await system.audit()
    assert report.passed, report.to_text()


async def test_refunds_that_race_give_back_once(system: System) -> None:
    order = buy(system, "cat", package_id="coins-100")
    path, admin = f"/v1/admin/orders/{order['id']}/refund", system.token("root", "admin")
    assert system.http("POST", path, token=admin)[1]["code"] == "order_not_paid"
    assert system.http("POST", path, token=system.token("cat"))[0] == 403
    decide(system, order, "pay")
    # At once, before the credit is booked, several times.
    answers = await asyncio.gather(*(asyncio.to_thread(system.http, "POST", path, token=admin) for _ in range(4)))
    assert {(status, body["status"]) for status, body in answers} == {(200, "refunded")}
    await wait_until(lambda: wallet(system, "cat")["seq"] == 2, "both changes are made")
    assert wallet(system, "cat") == {"balance": 0, "seq": 2, "frozen": False}
    report = await system.audit()
    assert report.passed, report.to_text()


def test_the_same_key_is_the_same_order(system: System) -> None:
    headers = {"Authorization": f"Bearer {system.token('dan')}", "Idempotency-Key": "k1"}
    first = system.post("/v1/orders", b'{"package_id":"coins-100"}', headers)
    assert first[0] == 201
    assert system.post("/v1/orders", b'{"package_id":"coins-100"}', headers) == first
    status, problem = system.post("/v1/orders", b'{"package_id":"coins-550"}', headers)
    assert (status, "ref_conflict" in problem) == (409, True)


def test_just_what_a_gift_lacks(system: System) -> None:
    order = buy(system, "eli", shortfall_coins=333)
    assert (order["coins"], order["amount"]) == (333, 663)  # 333 * 199 / 100, rounded up
    order = buy(system, "eli", shortfall_coins=1)
    assert (order["coins"], order["amount"]) == (25, 50)  # the least that can be paid, and what it buys


def test_a_large_purchase_needs_a_fresh_sign_in(system: System) -> None:
    body = {"shortfall_coins": 100_000}
    now = int(time.time())
    for claims in ({}, {"auth_time": now - 1000}, {"auth_time": now + 1000}):
        status, problem = system.http("POST", "/v1/orders", body, token=system.token("fay", **claims))
        assert (status, problem["code"]) == (401, "reauthentication_required")
    assert system.http("POST", "/v1/orders", body, token=system.token("fay", auth_time=now))[0] == 201


def test_what_is_large_is_told_by_its_worth(system: System) -> None:
    prices = {"KR": ("KRW", 13_900), "VN": ("VND", 250_000), "ID": ("IDR", 15_500_000), "KW": ("KWD", 3_050)}
    for region, (currency, amount) in prices.items():
        for factor, expected in ((1, 201), (15, 401)):
            package = f"{region.lower()}-{factor}"
            price = {"region": region, "currency": currency, "amount": amount * factor}
            body = {"coins": 550 * factor, "prices": [price]}
            admin = system.token("root", "admin")
            assert system.http("PUT", f"/v1/admin/coin-packages/{package}", body, token=admin)[0] == 200
            order = {"package_id": package, "region": region}
            status, problem = system.http("POST", "/v1/orders", order, token=system.token("fay"))
            assert status == expected, problem
    assert "100.00 USD" in problem["detail"]
    assert "45.750 KWD" in problem["detail"]


@pytest.mark.parametrize(("currency", "amount"), [("KWD", 3_055), ("XXX", 999), ("MGA", 4_550)])
def test_a_price_that_cannot_be_charged_is_refused(system: System, currency: str, amount: int) -> None:
    body = {"coins": 550, "prices": [{"region": "XX", "currency": currency, "amount": amount}]}
    admin = system.token("root", "admin")
    status, problem = system.http("PUT", "/v1/admin/coin-packages/odd", body, token=admin)
    assert (status, problem["code"]) == (400, "invalid")
    assert "region XX" in problem["detail"]


@pytest.mark.parametrize("body", [{}, {"package_id": "x"}, {"package_id": "coins-100", "shortfall_coins": 1}, []])
def test_what_cannot_be_bought(system: System, body: object) -> None:
    status, problem = system.http("POST", "/v1/orders", body, token=system.token("gus"))
    assert (status, problem["code"]) in ((400, "invalid"), (404, "package_not_found"))


def test_webhooks_need_one_of_our_signatures(system: System) -> None:
    order = buy(system, "hal", package_id="coins-100")
    payment = SandboxPayment("sbx-1", order["id"], 199, "USD", "paid")
    path, now = "/v1/payments/sandbox/webhook", time.time()
    mine, other = (Sandbox([s], None) for s in (system.settings.of(OrderSettings).sandbox_secrets, "x" * 32))  # type: ignore[arg-type]
    headers, body = mine.webhook(payment, now)
    wrong = [
        ({}, body),
        ({SIGNATURE_HEADER: "t=1,v1="}, body),
        ({SIGNATURE_HEADER: f"t={'9' * 500},v1=a"}, body),
        (other.webhook(payment, now)[0], body),
        (mine.webhook(payment, now - 1000)[0], body),
        (mine.webhook(payment, now + 1000)[0], body),
        (headers, body + b" "),
    ]
    for given, content in wrong:
        status, problem = system.post(path, content, given)
        assert (status, "bad_signature" in problem) == (400, True), (given, problem)
    signed_by_both = other.webhook(payment, now)[0][SIGNATURE_HEADER] + "," + headers[SIGNATURE_HEADER].split(",")[1]
    assert system.post(path, body, {SIGNATURE_HEADER: signed_by_both})[0] == 200
    assert system.post(path, body, headers)[0] == 200
    assert system.post("/v1/payments/nobody/webhook", body, headers)[0] == 404


async def test_the_audit_sees_an_order_without_its_money_or_its_coins(system: System) -> None:
    order = buy(system, "ivy", package_id="coins-100")
    decide(system, order, "pay")
    await becomes(system, "ivy", order, "credited")
    breaks = {
        "UPDATE orders SET amount = 200 WHERE id = %s": "199 posted as 'sale', expected 200",
        "UPDATE orders SET coins = 101 WHERE id = %s": "1 entries 'order' of 100 coins in all, expected one of 101",
        "UPDATE orders SET status = 'created', credited_coins = 0 WHERE id = %s": "expected none",
    }
    url = system.settings.database_url
    with psycopg.connect(url, autocommit=True) as connection:
        for statement, expected in breaks.items():
            connection.execute(statement.encode(), (order["id"],))
            report = await system.audit(2.0)
            assert expected in "\n".join(report.checks[5].violations), report.to_text()
            connection.execute(
                b"UPDATE orders SET amount = 199, coins = 100, status = 'credited', credited_coins = 100 WHERE id = %s",
                (order["id"],),
            )
    assert (await system.audit()).passed


async def test_an_order_can_be_given_back_for_a_while_where_the_region_says_so(system: System) -> None:
    prices = [{"region": "CN", "currency": "CNY", "amount": 700}, {"region": "DE", "currency": "EUR", "amount": 99}]
    package = {"coins": 90, "prices": prices}
    system.http("PUT", "/v1/admin/coin-packages/coins-90", package, token=system.token("root", "admin"))

    def withdraw(order: dict[str, Any], user: str) -> tuple[int, Any]:
        return system.http("POST", f"/v1/orders/{order['id']}/withdraw", token=system.token(user))

    cool, spent, warm = (
        buy(system, user, package_id="coins-90", region=region)
        for user, region in (("lin", "CN"), ("mei", "CN"), ("nik", "DE"))
    )
    assert withdraw(cool, "lin")[1]["code"] in ("order_not_paid", "too_late")
    for user, order in (("lin", cool), ("mei", spent), ("nik", warm)):
        decide(system, order, "pay")
        await becomes(system, user, order, "credited")
    assert "withdraw" in warm["withdrawal_notice"]
    assert withdraw(warm, "nik")[1]["code"] == "too_late"
    assert withdraw(cool, "mei")[1]["code"] == "not_found"
    system.open_room("cool", "bob")
    async with Viewer(system.address(), system.token("mei")) as mei:
        await mei.join("cool")
        await mei.gift("cool")
    assert withdraw(spent, "mei")[1]["code"] == "too_late"
    assert [withdraw(cool, "lin")[1]["status"] for _ in range(2)] == ["refunded", "refunded"]
    assert wallet(system, "lin")["balance"] == 0


def test_payments_that_do_not_fit_wait_for_an_operator(system: System) -> None:
    order = buy(system, "pia", package_id="coins-100")
    admin = system.token("root", "admin")
    sandbox = Sandbox([system.settings.of(OrderSettings).sandbox_secrets], None)  # type: ignore[arg-type]
    for ref, amount in (("sbx-odd-1", 198), ("sbx-odd-2", 400)):
        headers, body = sandbox.webhook(SandboxPayment(ref, order["id"], amount, "USD", "paid"), time.time())
        assert system.post("/v1/payments/sandbox/webhook", body, headers)[0] == 200

    def undecided() -> list[dict[str, Any]]:
        items = system.http("GET", "/v1/admin/odd-payments", token=admin)[1]["items"]
        return [item for item in items if item["order_id"] == order["id"]]

    first, second = undecided()
    assert (first["outcome"], first["amount"], first["order_amount"], first["user"]) == ("mismatch", 198, 199, "pia")
    paths = [f"/v1/admin/odd-payments/sandbox/{item['event_id']}" for item in (first, second)]
    assert system.http("POST", f"{paths[0]}/refund", {"why": "x"}, token=system.token("pia"))[0] == 403
    assert system.http("POST", f"{paths[0]}/keep", {"why": "x"}, token=admin)[0] == 404
    for _ in range(2):
        assert system.http("POST", f"{paths[0]}/refund", {"why": "a cent too little"}, token=admin)[0] == 200
    assert system.http("POST", f"{paths[0]}/dismiss", {"why": "x"}, token=admin)[1]["code"] == "conflict"
    assert (
        system.http("POST", f"{paths[1]}/dismiss", {"why": "settled by hand"}, token=admin)[1]["decision"] == "dismiss"
    )
    assert undecided() == []
    path = f"/v1/orders/{order['id']}"
    assert system.http("GET", path, token=system.token("pia"))[1]["status"] == "created", "nothing was credited"
    acts = system.http("GET", f"/v1/admin/acts?subject=order:{order['id']}", token=admin)[1]["items"]
    assert {act["act"] for act in acts} == {"payment.refund", "payment.dismiss"}


async def test_the_payment_of_another_order_is_given_back_as_that_order(system: System) -> None:
    """An event names this order, and the payment that has paid another one: nobody gives that back by mistake."""
    paid, order = buy(system, "ria", package_id="coins-100"), buy(system, "sol", package_id="coins-100")
    decide(system, paid, "pay")
    await becomes(system, "ria", paid, "credited")
    sandbox = Sandbox([system.settings.of(OrderSettings).sandbox_secrets], None)  # type: ignore[arg-type]
    payment_ref = paid["checkout_url"].rpartition("/")[2]
    event = sandbox.webhook(SandboxPayment(payment_ref, order["id"], 199, "USD", "paid"), time.time())
    body = event[1].replace(b'"evt-', b'"evt-other-')
    signature = sandbox._signature(system.settings.of(OrderSettings).sandbox_secrets.encode(), int(time.time()), body)
    headers = {SIGNATURE_HEADER: f"t={int(time.time())},v1={signature}"}
    assert system.post("/v1/payments/sandbox/webhook", body, headers)[0] == 200
    admin = system.token("root", "admin")
    items = system.http("GET", "/v1/admin/odd-payments", token=admin)[1]["items"]
    (odd,) = [item for item in items if item["order_id"] in (order["id"], paid["id"])]
    path = f"/v1/admin/odd-payments/sandbox/{odd['event_id']}"
    status, answer = system.http("POST", f"{path}/refund", {"why": "odd"}, token=admin)
    assert (status, answer["code"]) == (409, "conflict")
    assert paid["id"] in answer["detail"]
    assert system.http("POST", f"{path}/dismiss", {"why": "odd"}, token=admin)[0] == 200


async def test_a_wallet_below_zero_can_be_paid_up_a_frozen_one_buys_nothing(system: System) -> None:
    order = buy(system, "quo", package_id="coins-550")
    decide(system, order, "pay")
    await becomes(system, "quo", order, "credited")
    async with Viewer(system.address(), system.token("quo")) as viewer:
        await viewer.send(type="gift.send", ref="spent", room="r1", gift_id="balloon")
        await wait_until(lambda: "spent" in viewer.results, "the gift has an answer")
        admin = system.token("root", "admin")
        assert system.http("POST", f"/v1/admin/orders/{order['id']}/refund", token=admin)[0] == 200
        await wait_until(lambda: wallet(system, "quo")["balance"] == -500, "the coins are taken")
        assert wallet(system, "quo")["frozen"] is True
        order = buy(system, "quo", package_id="coins-550")
        decide(system, order, "pay")
        await becomes(system, "quo", order, "credited")
        assert (wallet(system, "quo")["balance"], wallet(system, "quo")["frozen"]) == (50, False)
        await viewer.send(type="gift.send", ref="again", room="r1", gift_id="rose")
        await wait_until(lambda: "again" in viewer.results, "the gift has an answer")
        assert viewer.results["again"]["status"] == "accepted"
    body = {"why": "asked for"}
    assert system.http("PUT", "/v1/admin/users/quo/freeze", body, token=admin)[0] == 200
    status, problem = system.http("POST", "/v1/orders", {"package_id": "coins-550"}, token=system.token("quo"))
    assert (status, problem["code"]) == (403, "wallet_frozen")
