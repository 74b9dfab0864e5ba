"""Stripe: real signatures, the official library against a small server that plays its API, money and coins once."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from livegift.composition import load_settings
from livegift.contract.errors import ConfigError, RequestError
from livegift.dev.system import dev_secrets
from livegift.features.orders.reconcile import days_ago, reconcile
from livegift.payments.provider import BadSignatureError, CheckoutRequest, ProviderError, ProviderRefusedError
from livegift.payments.stripe import SIGNATURE_HEADER, Stripe
from livegift.runtime.settings import Settings
from tests.system import System
from tests.test_orders import becomes, buy, wallet
from tests.waiting import wait_until

SECRETS = ["whsec_new", "whsec_old"]


class FakeStripe:
    """Sessions, charges and refunds, each once per idempotency key."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.charges: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.fails = 0
        self.refuses = ""
        self.dispute_status = "needs_response"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"] or 0)
                form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
                fake.calls.append(f"POST {self.path} {self.headers['Idempotency-Key']}")
                if fake.fails:
                    fake.fails -= 1
                    self.answer(500, {"error": {"type": "api_error", "message": "broken"}})
                elif self.path == "/v1/checkout/sessions":
                    if fake.refuses:
                        error = {"type": "invalid_request_error", "code": fake.refuses, "message": "what was sent"}
                        self.answer(400, {"error": error})
                    else:
                        self.answer(200, fake.session(self.headers["Idempotency-Key"], form))
                else:
                    self.answer(*fake.refund(form["payment_intent"]))

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                if self.path.startswith("/v1/disputes"):
                    dispute = {"id": "dp_1", "object": "dispute", "status": fake.dispute_status}
                    page = [dispute] if query.get("payment_intent") else []
                    self.answer(200, {"object": "list", "url": "/v1/disputes", "data": page, "has_more": False})
                    return
                after = query.get("starting_after", [""])[0]
                ids = [charge["id"] for charge in fake.charges]
                start = ids.index(after) + 1 if after else 0
                page = fake.charges[start : start + 2]
                more = start + 2 < len(ids)
                self.answer(200, {"object": "list", "url": "/v1/charges", "data": page, "has_more": more})

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def session(self, key: str, form: dict[str, str]) -> dict[str, Any]:
        if key not in self.sessions:
            self.sessions[key] = {
                "id": f"cs_{len(self.sessions)}",
                "object": "checkout.session",
                "url": f"https://checkout.stripe.example/cs_{len(self.sessions)}",
                "client_reference_id": form["client_reference_id"],
                "metadata": {"order_id": form["metadata[order_id]"]},
                "amount_total": int(form["line_items[0][price_data][unit_amount]"]),
                "currency": form["line_items[0][price_data][currency]"],
                "payment_intent": f"pi_{len(self.sessions)}",
                "payment_status": "unpaid",
            }
        return self.sessions[key]

    def pay(self, session: dict[str, Any]) -> None:
        session["payment_status"] = "paid"
        self.charges.insert(
            0,
            {
                "id": f"ch_{len(self.charges)}", "object": "charge", "paid": True, "captured": True, "disputed": False,
                "amount": session["amount_total"], "amount_refunded": 0, "currency": session["currency"],
                "payment_intent": session["payment_intent"], "metadata": session["metadata"],
            },
        )  # fmt: skip

    def refund(self, payment_intent: str) -> tuple[int, dict[str, Any]]:
        charge = next(charge for charge in self.charges if charge["payment_intent"] == payment_intent)
        if charge["amount_refunded"]:
            error = {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "again"}
            return 400, {"error": error}
        charge["amount_refunded"] = charge["amount"]
        return 200, {"id": "re_1", "object": "refund", "status": "succeeded"}


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    made = FakeStripe()
    yield made
    made.server.shutdown()
    made.server.server_close()


def signed(event: object, secret: str = SECRETS[0], at_s: int | None = None) -> tuple[dict[str, str], bytes]:
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, at_s)  # type: ignore[no-untyped-call]
    return {SIGNATURE_HEADER: header}, body.encode()


def event(kind: str, found: dict[str, Any], event_id: str = "evt_1") -> dict[str, Any]:
    return {"id": event_id, "object": "event", "type": kind, "data": {"object": found}}


SESSION = {
    "id": "cs_1",
    "mode": "payment",
    "client_reference_id": "ord-1",
    "metadata": {"order_id": "ord-1"},
    "payment_intent": "pi_1",
    "payment_status": "paid",
    "amount_total": 999,
    "currency": "usd",
}


def parse(provider: Stripe, headers: dict[str, str], body: bytes) -> Any:
    return provider.parse(headers, body, time.time())


def test_webhooks_are_read_and_those_of_no_interest_passed_over() -> None:
    provider = Stripe("sk_test_x", SECRETS)
    paid = parse(provider, *signed(event("checkout.session.completed", SESSION)))
    assert (paid.kind, paid.order_id, paid.payment_ref, paid.amount, paid.currency) == (
        "paid",
        "ord-1",
        "pi_1",
        999,
        "USD",
    )
    later = event("checkout.session.completed", {**SESSION, "payment_status": "unpaid"})
    assert parse(provider, *signed(later)) is None
    charge = {
        "payment_intent": "pi_1",
        "amount": 999,
        "amount_refunded": 999,
        "currency": "usd",
        "metadata": {"order_id": "ord-1"},
    }
    assert parse(provider, *signed(event("charge.refunded", charge))).kind == "refunded"
    dispute = parse(provider, *signed(event("charge.dispute.created", {**charge, "metadata": {}})))
    assert (dispute.kind, dispute.order_id, dispute.payment_ref) == ("disputed", None, "pi_1")
    assert parse(provider, *signed(event("customer.created", {}))) is None


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("charge.dispute.created", "needs_response", "disputed"),
        ("charge.dispute.created", "warning_needs_response", None),
        ("charge.dispute.updated", "warning_under_review", None),
        ("charge.dispute.closed", "warning_closed", None),
        ("charge.dispute.closed", "prevented", None),
        ("charge.dispute.funds_withdrawn", "under_review", "disputed"),
        ("charge.dispute.updated", "needs_response", "disputed"),  # an inquiry that has become a dispute
        ("charge.dispute.closed", "lost", "disputed"),
        ("charge.dispute.closed", "won", "dispute_won"),
        ("charge.dispute.funds_reinstated", "won", "dispute_won"),
        ("refund.failed", "failed", "refund_failed"),
        ("charge.refund.updated", "failed", "refund_failed"),
        ("refund.updated", "canceled", "refund_failed"),
        ("refund.updated", "succeeded", None),
        ("refund.created", "pending", None),
    ],
)
def test_disputes_and_refunds_say_what_became_of_the_money(kind: str, status: str, expected: str | None) -> None:
    found = {"id": "dp_1", "payment_intent": "pi_1", "amount": 999, "currency": "usd", "status": status, "metadata": {}}
    heard = parse(Stripe("sk_test_x", SECRETS), *signed(event(kind, found)))
    assert (heard and heard.kind) == expected
    assert heard is None or (heard.payment_ref, heard.reversal_ref, heard.order_id) == ("pi_1", "dp_1", None)


def test_only_what_is_signed_lately_with_a_listed_secret_counts() -> None:
    provider, good = Stripe("sk_test_x", SECRETS), event("checkout.session.completed", SESSION)
    headers, body = signed(good, SECRETS[1])
    assert parse(provider, headers, body).id == "evt_1", "the old secret while it is listed"
    with pytest.raises(BadSignatureError):
        parse(Stripe("sk_test_x", SECRETS[:1]), headers, body)
    for wrong in (
        (headers, body.replace(b"999", b"998")),
        ({}, body),
        ({SIGNATURE_HEADER: ""}, body),
        ({SIGNATURE_HEADER: "t=x,v1=y"}, body),
        ({SIGNATURE_HEADER: "t=1," + "v1=a," * 1000}, body),
        (headers, b"\xff" + body),
        signed(good, "whsec_other"),
        signed(good, at_s=int(time.time()) - 3_600),
    ):
        with pytest.raises(BadSignatureError):
            parse(provider, *wrong)
    for odd in ({}, [], {"id": "x", "type": "charge.refunded"}, event("charge.refunded", {}), "text"):
        with pytest.raises(RequestError, match="Stripe's events"):
            parse(provider, *signed(odd))


async def test_the_same_order_has_one_session_and_errors_are_plain(fake: FakeStripe) -> None:
    provider = Stripe("sk_test_secret", SECRETS, fake.url)
    request = CheckoutRequest("ord-1", "ann", 550, 999, "EUR", "https://shop.example")
    fake.fails = 1  # the library tries again, under the same key
    assert await provider.checkout(request) == await provider.checkout(request)
    assert len(fake.sessions) == 1
    assert len({call.split()[-1] for call in fake.calls}) == 1
    fake.fails = 3
    with pytest.raises(ProviderError) as refused:
        await provider.checkout(request)
    assert "sk_test" not in str(refused.value)
    with pytest.raises(ProviderError, match="no payment"):
        await provider.refund("ord-1", None, 999)


def test_the_sandbox_is_never_on_beside_stripe(tmp_path: Path) -> None:
    stores = {"LIVEGIFT_REDIS_URL": "redis://x", "LIVEGIFT_DATABASE_URL": "postgresql://x"}
    money = {"LIVEGIFT_STRIPE_API_KEY": "sk_test_x", "LIVEGIFT_STRIPE_WEBHOOK_SECRETS": "whsec_x"}
    sandbox = {"LIVEGIFT_SANDBOX_SECRETS": "s" * 32}
    with pytest.raises(ConfigError, match="STRIPE_API_KEY and LIVEGIFT_SANDBOX_SECRETS are both set"):
        load_settings(tmp_path, {**stores, **money, **sandbox})
    # A data folder that was used with the sandbox before.
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in sandbox.items()))
    with pytest.raises(ConfigError, match="both set"):
        load_settings(tmp_path, {**stores, **money})
    assert dev_secrets({}, sandbox)["LIVEGIFT_SANDBOX_SECRETS"] == "s" * 32
    assert set(dev_secrets(money, sandbox)) == {"LIVEGIFT_JWT_SECRET"}


@pytest.mark.parametrize(
    ("currency", "amount", "sent"), [("ISK", 140_000, 14_000_000), ("MGA", 4_500_000, 45_000), ("KWD", 3_050, 3_050)]
)
async def test_stripe_is_told_amounts_as_it_counts_them(
    fake: FakeStripe, currency: str, amount: int, sent: int
) -> None:
    provider = Stripe("sk_test_secret", SECRETS, fake.url)
    await provider.checkout(CheckoutRequest("ord-1", "ann", 550, amount, currency, "https://shop.example"))
    (session,) = fake.sessions.values()
    assert session["amount_total"] == sent
    fake.pay(session)
    assert [(p.amount, p.currency) async for p in provider.payments(0)] == [(amount, currency)]
    session = {**session, "payment_status": "paid"}
    heard = parse(provider, *signed(event("checkout.session.completed", session)))
    assert (heard.amount, heard.currency) == (amount, currency)
    heard = parse(provider, *signed(event("checkout.session.completed", {**session, "currency": "xxx"})))
    assert heard.currency == "XXX?", "it fits no order"


async def test_what_stripe_will_never_take_is_said_so(fake: FakeStripe) -> None:
    provider = Stripe("sk_test_secret", SECRETS, fake.url)
    with pytest.raises(ProviderRefusedError, match="multiple of 10"):
        await provider.checkout(CheckoutRequest("ord-1", "ann", 550, 3_055, "KWD", "https://shop.example"))
    fake.refuses = "amount_too_small"
    with pytest.raises(ProviderRefusedError, match="amount_too_small") as refused:
        await provider.checkout(CheckoutRequest("ord-1", "ann", 1, 1, "USD", "https://shop.example"))
    assert "what was sent" not in str(refused.value)
    with pytest.raises(ProviderRefusedError, match="no payment"):
        await provider.refund("ord-1", None, 999)


async def test_bought_given_back_and_reconciled(fake: FakeStripe, settings: Settings, tmp_path: Path) -> None:
    changed = settings.replaced(
        stripe_api_key="sk_test_x",
        stripe_webhook_secrets=",".join(SECRETS),
        stripe_api_base=fake.url,
        sandbox_secrets="",
    )
    with System(changed, tmp_path / "logs") as system:
        system.start()
        orders = [buy(system, "ann", package_id="coins-550") for _ in range(3)]
        assert all(order["checkout_url"].startswith("https://checkout.stripe.example/") for order in orders)
        body = {"package_id": "coins-100", "provider": "sandbox"}
        status, problem = system.http("POST", "/v1/orders", body, token=system.token("ann"))
        assert (status, problem["code"]) == (404, "payments_off"), "nobody chooses to pay nothing"
        sessions = list(fake.sessions.values())
        fake.refuses = "amount_too_small"
        status, problem = system.http("POST", "/v1/orders", {"package_id": "coins-100"}, token=system.token("ann"))
        assert (status, problem["code"], problem["retryable"]) == (409, "payment_refused", False)
        assert "amount_too_small" in problem["detail"]
        newest = system.http("GET", "/v1/orders?limit=1", token=system.token("ann"))[1]["items"][0]
        assert newest["status"] == "declined", "it can't be paid"

        def hear(found: dict[str, Any]) -> int:
            headers, body = signed(found)
            return system.post("/v1/payments/stripe/webhook", body, headers)[0]

        for n, session in enumerate(sessions):
            fake.pay(session)
            for _ in range(2):
                assert hear(event("checkout.session.completed", session, f"evt_{n}")) == 200
        for order in orders:
            await becomes(system, "ann", order, "credited")
        assert wallet(system, "ann")["balance"] == 1_650
        assert await reconcile(changed, "stripe", days_ago(1)) == (3, [])
        admin = system.token("root", "admin")
        for _ in range(2):
            assert system.http("POST", f"/v1/admin/orders/{orders[0]['id']}/refund", token=admin)[0] == 200
        disputed = {"id": "dp_1", "payment_intent": sessions[1]["payment_intent"], "amount": 999, "currency": "usd"}
        assert hear(event("charge.dispute.created", disputed, "evt_d")) == 200
        await wait_until(lambda: wallet(system, "ann")["balance"] == 550, "both are taken back")
        _, differing = await reconcile(changed, "stripe", days_ago(1))
        assert len(differing) == 1, "Stripe's charge is not marked as disputed yet"
        assert "charged_back here" in differing[0]
        next(c for c in fake.charges if c["payment_intent"] == sessions[1]["payment_intent"])["disputed"] = True
        assert (await reconcile(changed, "stripe", days_ago(1)))[1] == []
        won = {**disputed, "id": "dp_1", "status": "won"}
        assert hear(event("charge.dispute.funds_reinstated", won, "evt_w")) == 200
        await wait_until(lambda: wallet(system, "ann")["balance"] == 1_100, "the coins of the one are there again")
        await becomes(system, "ann", orders[1], "credited")
        fake.dispute_status = "won"
        fake.pay({**sessions[2], "payment_intent": "pi_unknown", "metadata": {}})
        _, differing = await reconcile(changed, "stripe", days_ago(1))
        assert differing == ["payment pi_unknown: no order (none named)"]
        assert "sk_test" not in system.log("web 1")
        report = await system.audit()
        assert report.passed, report.to_text()
