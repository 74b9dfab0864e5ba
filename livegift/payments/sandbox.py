"""A provider for development and tests: a page with buttons, and webhooks that are signed like real ones.

It takes no money and gives coins to anybody who presses "pay", so it is on only where the operator has set its secrets.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from html import escape
from secrets import token_hex
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from livegift.contract.bounds import WEBHOOK_SIGNATURES_MAX
from livegift.contract.errors import RequestError
from livegift.domain.currencies import charge_amount_min, shown
from livegift.domain.payments import EventKind, Payment
from livegift.payments.provider import BadSignatureError, Checkout, CheckoutRequest, PaymentEvent
from livegift.runtime.bounds import WEBHOOK_AGE_MAX_S

SIGNATURE_HEADER = "livegift-signature"
Decision = Literal["pay", "decline", "dispute"]
State = Literal["open", "declined", "paid", "refunded", "disputed"]
# The event of a payment's webhook, by the payment's state.
_EVENTS: dict[State, EventKind] = {
    "paid": "paid",
    "declined": "declined",
    "refunded": "refunded",
    "disputed": "disputed",
}


class SandboxPayment(NamedTuple):
    """A payment as the sandbox stores it."""

    ref: str
    order_id: str
    amount: int
    currency: str
    state: State


class SandboxBook(Protocol):
    """The sandbox's own storage, shared by all processes."""

    async def open(self, payment: SandboxPayment) -> SandboxPayment:
        """Store a payment; returns the first one that was stored for this order."""

    async def read(self, ref: str) -> SandboxPayment | None:
        """Return the payment with that name."""

    async def change(self, ref: str, state: State, only_from: Sequence[State]) -> SandboxPayment | None:
        """Change a payment's state if it is one of `only_from`; returns the payment as it is then."""

    async def ref_of(self, order_id: str) -> str | None:
        """Return the name of an order's payment."""

    def since(self, since_s: float) -> AsyncIterator[SandboxPayment]:
        """Yield all payments begun since `since_s`."""


class _Webhook(Struct, frozen=True):
    id: str
    type: EventKind
    order_id: str
    ref: str
    amount: int
    currency: str


class Sandbox:
    """The provider `sandbox`."""

    name = "sandbox"

    def __init__(self, secrets: Sequence[str], book: SandboxBook) -> None:
        """Sign with the first secret and accept all of them: a new one is put in front, the old one removed later."""
        self._secrets = [secret.encode() for secret in secrets]
        self._book = book

    def amount_min(self, currency: str) -> int:
        """Return the minimum card payment."""
        return charge_amount_min(currency)

    async def checkout(self, request: CheckoutRequest) -> Checkout:
        """Create a checkout page on this server."""
        wanted = SandboxPayment(f"sbx-{token_hex(16)}", request.order_id, request.amount, request.currency, "open")
        payment = await self._book.open(wanted)
        return Checkout(payment.ref, f"{request.base_url}/v1/payments/sandbox/checkout/{payment.ref}")

    async def refund(self, key: str, payment_ref: str | None, amount: int) -> None:  # noqa: ARG002 - all of it
        """Change a paid payment to refunded."""
        ref = payment_ref or await self._book.ref_of(key)
        if ref is not None:
            await self._book.change(ref, "refunded", ("paid",))

    async def payments(self, since_s: float) -> AsyncIterator[Payment]:
        """Yield the payments that were paid."""
        async for payment in self._book.since(since_s):
            if payment.state in ("paid", "refunded", "disputed"):
                refunded = payment.amount if payment.state == "refunded" else 0
                disputed = payment.state == "disputed"
                yield Payment(payment.order_id, payment.ref, payment.amount, payment.currency, refunded, disputed)

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def _signature(self, secret: bytes, at_s: int, body: bytes) -> str:
        return hmac.new(secret, b"%d." % at_s + body, hashlib.sha256).hexdigest()

    def webhook(self, payment: SandboxPayment, now_s: float) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the webhook for the payment's state. The same event has the same id each time."""
        kind = _EVENTS[payment.state]
        event = _Webhook(
            f"evt-{payment.ref}-{kind}", kind, payment.order_id, payment.ref, payment.amount, payment.currency
        )
        body = msgspec.json.encode(event)
        at_s = int(now_s)
        return {SIGNATURE_HEADER: f"t={at_s},v1={self._signature(self._secrets[0], at_s, body)}"}, body

    def parse(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent | None:
        """Verify a webhook and return its event. Raises BadSignatureError or RequestError('invalid')."""
        self._verify(headers.get(SIGNATURE_HEADER, ""), body, now_s)
        try:
            event = msgspec.json.decode(body, type=_Webhook)
            # An empty name stands for none: the event is about something else that is sold with these secrets.
            order_id, ref = event.order_id or None, event.ref or None
            return PaymentEvent(event.id, event.type, order_id, ref, event.amount, event.currency, ref)
        except (ValueError, RecursionError):  # msgspec's are ValueErrors
            raise RequestError(
                "invalid", "expected a sandbox event: id, type, order_id, ref, amount, currency"
            ) from None

    def _verify(self, header: str, body: bytes, now_s: float) -> None:
        pairs = [part.strip().partition("=") for part in header.split(",", WEBHOOK_SIGNATURES_MAX)]
        times = [value for name, _, value in pairs if name == "t"]
        given = [value.encode() for name, _, value in pairs if name == "v1"]
        if len(times) != 1 or not (times[0].isascii() and times[0].isdecimal() and len(times[0]) <= len("9999999999")):
            raise BadSignatureError(f"expected a header {SIGNATURE_HEADER}: t=<seconds>,v1=<signature>")
        at_s = int(times[0])
        if abs(now_s - at_s) > WEBHOOK_AGE_MAX_S:
            raise BadSignatureError(f"expected a signature of the last {WEBHOOK_AGE_MAX_S} s")
        known = [self._signature(secret, at_s, body).encode() for secret in self._secrets]
        # All pairs are compared, each in constant time, so the duration reveals nothing.
        if not any([hmac.compare_digest(mine, theirs) for mine in known for theirs in given]):  # noqa: C419
            raise BadSignatureError("no signature was made with one of the secrets of this server")

    # --- The page -----------------------------------------------------------------------------------------------------

    async def read(self, ref: str) -> SandboxPayment | None:
        """Return a payment, for its page."""
        return await self._book.read(ref)

    async def decide(self, ref: str, decision: Decision) -> SandboxPayment | None:
        """Apply the decision made on the page; returns the payment as it is then. Repeating it changes nothing."""
        changes: dict[Decision, tuple[State, tuple[State, ...]]] = {
            "pay": ("paid", ("open", "declined")),
            "decline": ("declined", ("open",)),
            "dispute": ("disputed", ("paid",)),
        }
        state, only_from = changes[decision]
        return await self._book.change(ref, state, only_from)


def page(payment: SandboxPayment) -> str:
    """Return the checkout page with the decisions that are possible now. Every value in it is escaped."""
    price = shown(payment.amount, payment.currency)
    buttons = {"open": ("pay", "decline"), "declined": ("pay",), "paid": ("dispute",)}.get(payment.state, ())
    form = "".join(f'<button name="decision" value="{name}">{name.title()}</button> ' for name in buttons)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox checkout</title>'
        '<meta name="viewport" content="width=device-width"><h1>Sandbox checkout</h1>'
        f"<p>Order {escape(payment.order_id)}: {escape(price)}. No real money moves.</p>"
        f'<p id="state">State: {escape(payment.state)}</p><form method="post">{form}</form></html>'
    )


def page_headers() -> dict[str, str]:
    """Return the page's headers: it loads and runs nothing and can't be framed.

    Its address, which is a capability, is not passed on.
    """
    return {
        "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
