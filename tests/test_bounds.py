"""What a store can't keep stays outside, whoever has signed it: numbers beyond a bigint, texts with NUL, odd names."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from livegift.cli.main import cli
from livegift.contract.errors import RequestError
from livegift.contract.values import is_text
from livegift.features.demo.routes import Pages, SecureHeaders, pages_folder
from livegift.features.payouts.bank import ManualBank
from livegift.payments.provider import BadSignatureError, PaymentEvent
from livegift.payments.sandbox import SIGNATURE_HEADER, Sandbox
from livegift.payments.stripe import SIGNATURE_HEADER as STRIPE_HEADER
from livegift.payments.stripe import Stripe
from livegift.runtime.bounds import PAYMENT_AMOUNT_MAX
from tests.test_stripe import SECRETS, event, signed

ODD_FIELDS: list[dict[str, object]] = [
    {"amount": 2**63}, {"amount": 10**30}, {"amount": PAYMENT_AMOUNT_MAX + 1}, {"amount": -1}, {"id": "evt\0"},
    {"id": ""}, {"id": "x" * 256}, {"order_id": "ord\0"}, {"order_id": "ord 1"}, {"ref": "\0"}, {"currency": "U\0D"},
    {"currency": "usd"}, {"currency": "x" * 70_000},
]  # fmt: skip


def sandbox_event(changed: Mapping[str, object]) -> bytes:
    fields = {"id": "evt-1", "type": "paid", "order_id": "ord-1", "ref": "sbx-1", "amount": 199, "currency": "USD"}
    return json.dumps({**fields, **changed}).encode()


def parsed(body: bytes) -> PaymentEvent | None:
    sandbox, now_s = Sandbox(["s" * 32], None), int(time.time())
    header = f"t={now_s},v1={sandbox._signature(b's' * 32, now_s, body)}"
    return sandbox.parse({SIGNATURE_HEADER: header}, body, now_s)


@pytest.mark.parametrize("changed", ODD_FIELDS, ids=lambda changed: str(changed)[:40])
def test_a_signed_event_that_no_ledger_can_keep_is_invalid(changed: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="invalid"):
        parsed(sandbox_event(changed))


def test_a_signed_event_within_the_bounds_is_read() -> None:
    found = parsed(sandbox_event({"amount": PAYMENT_AMOUNT_MAX}))
    assert found is not None
    assert found.amount == PAYMENT_AMOUNT_MAX


@pytest.mark.parametrize(
    "changed", [{"amount_refunded": 2**63}, {"amount_refunded": -5}, {"amount_refunded": "9" * 5_000}], ids=str
)
def test_an_amount_of_stripes_that_no_ledger_can_keep_is_invalid(changed: dict[str, object]) -> None:
    found = {"amount_refunded": 5, "currency": "usd", "payment_intent": "pi_1", **changed}
    with pytest.raises(RequestError, match="invalid"):
        stripe_event(event("charge.refunded", found))


@pytest.mark.parametrize("event_id", ["evt\0", "x" * 256, "", "é"])
def test_an_event_of_stripes_with_an_odd_name_is_invalid(event_id: str) -> None:
    with pytest.raises(RequestError, match="invalid"):
        stripe_event(event("charge.refunded", {"amount_refunded": 5, "currency": "usd"}, event_id))


@pytest.mark.parametrize("currency", ["u\0d", "usdollars", "x" * 70_000, 7, None, "ß", "\u0131sk"])
def test_an_odd_currency_of_stripes_fits_no_order(currency: object) -> None:
    found = stripe_event(event("charge.refunded", {"amount_refunded": 5, "currency": currency}))
    assert found.currency.endswith("?")
    assert len(found.currency) <= 4


def stripe_event(said: object) -> Any:
    return Stripe("sk", SECRETS).parse(*signed(said), time.time())


@pytest.mark.parametrize("header", ["t=1,v1=\xe9", "t=1,v1=\ud800", "t=\xb2,v1=x", "t=1,v0=\xff,v1=a"])
def test_a_signature_that_is_no_ascii_is_a_bad_one(header: str) -> None:
    """Comparing it raises TypeError in the library, and anybody may send one."""
    with pytest.raises(BadSignatureError):
        Stripe("sk", SECRETS).parse({STRIPE_HEADER: header}, b"{}", time.time())


def test_a_banks_reason_is_kept_without_what_the_ledger_cannot_keep() -> None:
    (line,) = ManualBank().results(b"payout,status,why\r\npay-1,failed,a\x00b\r\n")
    assert line.why == "ab"


@pytest.mark.parametrize("payout", ["pay\0", "x" * 65, "a b", "é"])
def test_a_banks_line_about_what_can_be_no_payout_is_named(payout: str) -> None:
    with pytest.raises(RequestError, match="line 2"):
        ManualBank().results(f"payout,status,why\r\n{payout},paid,\r\n".encode())


@pytest.mark.parametrize("coins", ["0" * 13 + "1" + "9" * 20, "1" * 20, "9" * 5_000, "10000000000000"])
def test_a_file_of_grants_counts_all_digits(tmp_path: Path, coins: str) -> None:
    (tmp_path / "grants.csv").write_text(f"user,coins,ref\nann,{coins},r1\n")
    environ = {"LIVEGIFT_REDIS_URL": "redis://127.0.0.1:1", "LIVEGIFT_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    done = CliRunner().invoke(cli, ["grant", "--file", str(tmp_path / "grants.csv")], env=environ)
    assert done.exit_code == 2
    assert "line 2: expected 1 to" in done.output


def test_a_text_has_no_control_characters() -> None:
    assert is_text("user:ann \N{NO-BREAK SPACE}é")
    assert not any(is_text(f"a{char}") for char in "\0\n\x1f\x7f\x85")


@pytest.mark.parametrize(
    "argv",
    [
        ["partition", "show", str(2**31)],
        ["partition", "show", "9" * 30],
        ["partition", "start", str(2**63)],
        ["partition", "stop", str(2**63), "--reason", "x"],
        ["restore", "--partition", str(2**63)],
        ["reconcile", "--provider", "sandbox", "--days", "1e300"],
        ["reconcile", "--provider", "sandbox", "--days", "nan"],
        ["grant", "--user", "ann", "--ref", "r", "--coins", "9" * 30],
        ["token", "--user", "ann", "--ttl", "9" * 30],
    ],
    ids=lambda argv: " ".join(argv)[:50],
)
def test_a_number_of_a_command_that_no_store_can_keep_is_a_usage_error(argv: list[str]) -> None:
    done = CliRunner().invoke(cli, argv)
    assert (done.exit_code, done.exception.__class__) == (2, SystemExit), done.output


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=999999999-", "bytes=-", "x", "bytes=0-" + "9" * 5_000])
async def test_a_part_of_a_page_that_cannot_be_is_the_whole_page(asked: str) -> None:
    """Starlette would answer 400 or 416 as plain text."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()  # nothing more comes

    scope = {
        "type": "http", "method": "GET", "path": "/viewer.html", "root_path": "", "query_string": b"",
        "headers": [(b"range", asked.encode())],
    }  # fmt: skip
    await SecureHeaders(Pages(directory=pages_folder(), html=True))(scope, receive, send)
    assert sent[0]["status"] == 200
    assert sum(len(message.get("body", b"")) for message in sent[1:]) == (pages_folder() / "viewer.html").stat().st_size


def test_an_empty_name_of_a_payment_names_nothing() -> None:
    """It is somebody else's event then, and no reason to have it delivered again and again."""
    found = parsed(sandbox_event({"order_id": "", "ref": ""}))
    assert found is not None
    assert (found.order_id, found.session_ref, found.payment_ref) == (None, None, None)
