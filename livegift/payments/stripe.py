"""The provider `stripe`: Checkout sessions, signed webhooks, refunds and disputes, with Stripe's own library.

The library's calls block, so each runs in a thread. All can be repeated: their idempotency keys come from the order.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import stripe
from stripe import _http_client as stripe_http

from livegift.contract.bounds import WEBHOOK_SIGNATURES_MAX
from livegift.contract.errors import RequestError
from livegift.domain.currencies import CurrencyError, charge_amount_min, from_stripe, to_stripe
from livegift.domain.payments import EventKind, Payment
from livegift.payments.provider import (
    BadSignatureError,
    Checkout,
    CheckoutRequest,
    PaymentEvent,
    ProviderError,
    ProviderRefusedError,
    is_name,
)
from livegift.runtime.bounds import PROVIDER_PAGE, PROVIDER_TIMEOUT_S, WEBHOOK_AGE_MAX_S

SIGNATURE_HEADER = "stripe-signature"
_SESSIONS: dict[str, EventKind] = {
    "checkout.session.completed": "paid",
    "checkout.session.async_payment_succeeded": "paid",
    "checkout.session.async_payment_failed": "declined",
    "checkout.session.expired": "expired",
}
_REFUNDS = ("refund.failed", "refund.updated", "charge.refund.updated")
T = TypeVar("T")


class Stripe:
    """The provider `stripe`."""

    name = "stripe"

    def __init__(self, api_key: str, secrets: Sequence[str], api_base: str = "") -> None:
        """Use `api_key`. `secrets` are of webhook endpoints: several while one is replaced. `api_base` is for tests."""
        self._secrets = secrets
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else None,
            max_network_retries=2,  # with the same idempotency key
            http_client=stripe_http.RequestsClient(timeout=PROVIDER_TIMEOUT_S),
        )

    def amount_min(self, currency: str) -> int:
        """Return the minimum payment that Stripe takes."""
        return charge_amount_min(currency)

    async def checkout(self, request: CheckoutRequest) -> Checkout:
        """Create a Checkout session, or return the existing one of the order."""
        metadata = {"order_id": request.order_id}
        try:
            unit_amount = to_stripe(request.amount, request.currency)
        except CurrencyError as error:
            raise ProviderRefusedError(str(error)) from None
        params: Any = {
            "mode": "payment",
            "client_reference_id": request.order_id,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},  # charges inherit it, so their webhooks name the order
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": request.currency.lower(),
                        "unit_amount": unit_amount,
                        "product_data": {"name": f"{request.coins} coins"},
                    },
                }
            ],
            "success_url": f"{request.base_url}/?order={request.order_id}",
            "cancel_url": f"{request.base_url}/?order={request.order_id}",
        }
        options: Any = {"idempotency_key": f"checkout-{request.order_id}"}
        session = await _call(lambda: self._client.v1.checkout.sessions.create(params, options))
        if not session.url:
            raise ProviderError("Stripe made a Checkout session without an address")
        return Checkout(session.id, session.url)

    async def refund(self, key: str, payment_ref: str | None, amount: int) -> None:  # noqa: ARG002 - all of it
        """Refund a payment once: Stripe itself says when it was refunded before."""
        if payment_ref is None:
            raise ProviderRefusedError(f"{key} has no payment that is known at Stripe.")
        params: Any = {"payment_intent": payment_ref}
        options: Any = {"idempotency_key": f"refund-{key}"}
        try:
            made = await _call(lambda: self._client.v1.refunds.create(params, options))
            if getattr(made, "status", None) in ("failed", "canceled"):
                raise ProviderRefusedError(f"Stripe could not give the money of {key} back.")
        except ProviderError as error:
            cause = error.__cause__
            if not (isinstance(cause, stripe.InvalidRequestError) and cause.code == "charge_already_refunded"):
                raise

    async def payments(self, since_s: float) -> AsyncIterator[Payment]:
        """Yield all charges since then for which money was received."""
        after: str | None = None
        while True:
            params: Any = {"created": {"gte": int(since_s)}, "limit": PROVIDER_PAGE}
            if after is not None:
                params["starting_after"] = after
            page = await _call(lambda params=params: self._client.v1.charges.list(params))  # type: ignore[misc]
            for charge in page.data:
                after = charge.id
                if charge.paid and charge.captured:
                    order_id = getattr(charge.metadata, "order_id", None)
                    ref = str(charge.payment_intent or charge.id)
                    amount, currency = _money(charge.amount, charge.currency)
                    refunded, _ = _money(charge.amount_refunded, charge.currency)
                    disputed = bool(charge.disputed) and await self._is_taken(ref)
                    yield Payment(order_id, ref, amount, currency, refunded, disputed)
            if not page.has_more or not page.data:
                return

    async def _is_taken(self, payment_ref: str) -> bool:
        """Return whether a dispute holds the money.

        The charge's own mark does not tell: inquiries set it too, and it stays after a dispute was won.
        """
        params: Any = {"payment_intent": payment_ref, "limit": PROVIDER_PAGE}
        page = await _call(lambda: self._client.v1.disputes.list(params))
        return any(_dispute("", str(dispute.status)) == "disputed" for dispute in page.data)

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def parse(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent | None:  # noqa: ARG002 - theirs
        """Verify a webhook and return its event. Raises BadSignatureError or RequestError('invalid')."""
        self._verify(headers.get(SIGNATURE_HEADER, ""), body)
        try:
            event = msgspec.json.decode(body)
            return _event(str(event["id"]), str(event["type"]), event["data"]["object"])
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):  # msgspec's are ValueErrors
            raise RequestError("invalid", "expected one of Stripe's events") from None

    def _verify(self, header: str, body: bytes) -> None:
        if header.count(",") > WEBHOOK_SIGNATURES_MAX:
            raise BadSignatureError(f"expected a header {SIGNATURE_HEADER} with at most {WEBHOOK_SIGNATURES_MAX} parts")
        if not header.isascii():  # the library's comparison raises TypeError
            raise BadSignatureError(f"expected a header {SIGNATURE_HEADER} in ASCII")
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(body, header, secret, WEBHOOK_AGE_MAX_S)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            return
        raise BadSignatureError("no recent signature was made with one of the secrets of this server")


def _money(amount: object, currency: object) -> tuple[int, str]:
    """Return minor units and the currency of ISO 4217. An amount that can't be ours is kept: it fits no order."""
    code = str(currency or "").upper()
    units = int(str(amount or 0))
    try:
        return from_stripe(units, code), code
    except CurrencyError:
        return units, f"{code}?" if re.fullmatch("[A-Z]{3}", code) else "?"


def _name(value: object) -> str | None:
    """Return `value` if it can be an id of ours or Stripe's; anything else counts as missing."""
    return value if isinstance(value, str) and is_name(value) else None


def _event(event_id: str, kind: str, found: Mapping[str, Any]) -> PaymentEvent | None:
    # `client_reference_id` is ignored: anybody who opens a payment link of another product can choose it.
    order_id = _name((found.get("metadata") or {}).get("order_id"))
    payment_ref = _name(found.get("payment_intent"))
    said: EventKind | None
    if kind in _SESSIONS:
        said = _SESSIONS[kind]
        if found.get("mode", "payment") != "payment":
            return None  # a subscription or a saved card, which are not ours
        if said == "paid" and found["payment_status"] != "paid":
            return None  # the money may come later: another event will say so
        money = _money(found.get("amount_total"), found.get("currency"))
        return PaymentEvent(event_id, said, order_id, payment_ref, *money, _name(found.get("id")))
    if kind == "charge.refunded":
        money = _money(found["amount_refunded"], found["currency"])
        return PaymentEvent(event_id, "refunded", order_id, payment_ref, *money)
    if kind.startswith("charge.dispute."):
        said = _dispute(kind, str(found.get("status")))
    elif kind in _REFUNDS and found["status"] in ("failed", "canceled"):
        said = "refund_failed"
    else:
        return None
    money = _money(found["amount"], found["currency"])
    return said and PaymentEvent(
        event_id, said, order_id, payment_ref, *money, session_ref=None, reversal_ref=_name(found.get("id"))
    )


def _dispute(kind: str, status: str) -> EventKind | None:
    """Return the event of a dispute's status. Inquiries and prevented disputes take no money; a won one returns it."""
    if kind == "charge.dispute.funds_reinstated" or status == "won":
        return "dispute_won"
    return None if status.startswith("warning_") or status == "prevented" else "disputed"


async def _call(work: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(PROVIDER_TIMEOUT_S * 2):
            return await asyncio.to_thread(work)
    except (stripe.InvalidRequestError, stripe.CardError, stripe.IdempotencyError) as error:
        # Repeating would not help. Stripe's own message may quote what was sent, so it is not shown.
        raise ProviderRefusedError(
            f"Stripe does not take this payment ({error.code or 'invalid request'}): choose another package or amount."
        ) from error
    except stripe.StripeError as error:
        raise ProviderError(f"Stripe refused: {type(error).__name__} {error.code or ''}".strip()) from error
    except TimeoutError as error:
        raise ProviderError("Stripe did not answer in time") from error
