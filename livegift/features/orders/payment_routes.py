"""Routes for providers' webhooks, and the sandbox's checkout page."""

import time
from collections.abc import Mapping
from typing import cast, get_args
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from livegift.contract.bounds import FORM_BYTES_MAX, WEBHOOK_BODY_BYTES_MAX
from livegift.contract.errors import RequestError
from livegift.contract.values import is_id
from livegift.features.orders.bodies import EventReceived
from livegift.features.orders.errors import BAD_SIGNATURE
from livegift.features.orders.metrics import PAYMENT_EVENTS
from livegift.features.orders.provider_refusals import answering_refusals
from livegift.features.orders.service import apply_provider_event, providers_of, refund_terms_of
from livegift.http.context import answer, raw_body_of, resources_of
from livegift.http.routing import Content, Route
from livegift.payments.sandbox import Decision, Sandbox, SandboxPayment, page, page_headers
from livegift.runtime.access import PUBLIC, Rate


async def _receive(request: Request, name: str, headers: Mapping[str, str], body: bytes) -> None:
    resources = resources_of(request)
    provider = providers_of(resources).get(name)
    if provider is None:
        raise RequestError("not_found", "There is no such provider here.")
    with answering_refusals(request):
        event = provider.parse(headers, body, time.time())
    if event is None:
        PAYMENT_EVENTS.labels(name, "ignored").inc()
    else:
        await apply_provider_event(
            resources.database, resources.wallets, name, event, refund_terms_of(resources.settings)
        )


async def webhook(request: Request) -> Response:
    """`POST /v1/payments/{provider}/webhook`: 200 once the event is durable, however often it comes.

    Foreign events get 200 too: an account may sell other things, and providers disable an endpoint that refuses.
    """
    body = await raw_body_of(request, WEBHOOK_BODY_BYTES_MAX)
    await _receive(request, str(request.path_params["provider"]), request.headers, body)
    return answer(request, EventReceived())


async def _sandbox_payment(request: Request) -> tuple[Sandbox, SandboxPayment]:
    sandbox = providers_of(resources_of(request)).get(Sandbox.name)
    ref = str(request.path_params["ref"])
    payment = await sandbox.read(ref) if isinstance(sandbox, Sandbox) and is_id(ref) else None
    if payment is None or not isinstance(sandbox, Sandbox):
        raise RequestError("not_found", "There is no such payment.")
    return sandbox, payment


async def show_checkout(request: Request) -> Response:
    """Show the sandbox's checkout page."""
    _, payment = await _sandbox_payment(request)
    return HTMLResponse(page(payment), headers=page_headers())


async def decide(request: Request) -> Response:
    """Handle the sandbox's form: `decision` is pay, decline or (once paid) dispute. Then send the webhook.

    The webhook is handled like any other, signature and all, but does not use the network: this server connects to no
    address that a request names.
    """
    sandbox, payment = await _sandbox_payment(request)
    try:
        form = parse_qs(await raw_body_of(request, FORM_BYTES_MAX), max_num_fields=8)
    except ValueError:
        raise RequestError("invalid", "expected a form with at most 8 fields") from None
    given = form.get(b"decision", [b""])[0].decode("ascii", "replace")
    if given not in get_args(Decision):
        raise RequestError("invalid", f"decision: expected one of {', '.join(get_args(Decision))}")
    after = await sandbox.decide(payment.ref, cast("Decision", given)) or payment
    if after.state != "open":
        headers, body = sandbox.webhook(after, time.time())
        await _receive(request, sandbox.name, headers, body)
    return HTMLResponse(page(after), headers=page_headers())


CHECKOUT = Content("text/html", "The checkout page as it is now")
# Providers and payers are known by signatures and by references that nobody can guess.
ROUTES = (
    Route(
        "POST",
        "/v1/payments/{provider}/webhook",
        PUBLIC,
        Rate.WEBHOOK,
        webhook,
        "Take a payment provider's event",
        body=Content("application/json", "What the provider sends, signed in a header of its own"),
        answer=EventReceived,
        errors=("not_found", BAD_SIGNATURE, "too_large"),
    ),
    Route(
        "GET",
        "/v1/payments/sandbox/checkout/{ref}",
        PUBLIC,
        Rate.QUERY,
        show_checkout,
        "Show the sandbox's checkout page",
        content=CHECKOUT,
        errors=("not_found",),
    ),
    Route(
        "POST",
        "/v1/payments/sandbox/checkout/{ref}",
        PUBLIC,
        Rate.COSTLY,
        decide,
        "Pay, decline or dispute at the sandbox",
        body=Content("application/x-www-form-urlencoded", "`decision` is pay, decline or, once paid, dispute"),
        content=CHECKOUT,
        errors=("not_found", "invalid", "too_large"),
    ),
)
