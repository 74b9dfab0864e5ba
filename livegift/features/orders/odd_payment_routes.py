"""Routes for operators' decisions about payments that do not fit their orders."""

from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError
from livegift.contract.http import PageQuery, WhyRequest
from livegift.contract.values import is_id
from livegift.features.orders import odd_payments as stored
from livegift.features.orders.bodies import OddPaymentPage, OddPaymentView
from livegift.features.orders.errors import PAYMENT_REFUSED, PAYMENTS_OFF
from livegift.features.orders.odd_payments import Decision, OddPayment
from livegift.features.orders.provider_refusals import answering_refusals
from livegift.features.orders.service import providers_of
from livegift.http.context import answer, body_of, identity_of, query_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import OPERATE, Rate


def _view(row: OddPayment) -> OddPaymentView:
    return OddPaymentView(
        provider=row.provider,
        event_id=row.event_id,
        kind=row.kind,
        outcome=row.outcome,
        order_id=row.order_id,
        user=row.user,
        order_status=row.order_status,
        payment_ref=row.payment_ref,
        amount=row.amount,
        currency=row.currency,
        order_payment_ref=row.order_payment_ref,
        order_amount=row.order_amount,
        order_currency=row.order_currency,
        decision=row.decision,
        at_ms=int(row.at.timestamp() * 1000),
    )


async def list_undecided(request: Request) -> Response:
    """`GET /v1/admin/odd-payments`: payments with a wrong amount or currency, partial or second ones; oldest first."""
    query = query_of(request, PageQuery)
    found = await stored.list_odd(resources_of(request).database, query.cursor or "", query.limit + 1)
    next_cursor = found[query.limit - 1].event_id if len(found) > query.limit else None
    return answer(request, OddPaymentPage([_view(row) for row in found[: query.limit]], next_cursor))


async def decide(request: Request) -> Response:
    """`POST /v1/admin/odd-payments/{provider}/{event}/{decision}` `{why}`: refund or dismiss; repeating it is harmless.

    `refund` has the provider return that payment, which was booked for no order; `dismiss` records that it was settled
    by hand. A payment that an order was credited for is returned as that order.
    """
    operator, resources = identity_of(request), resources_of(request)
    provider, event, decision = (str(request.path_params[name]) for name in ("provider", "event", "decision"))
    if decision not in get_args(Decision) or not (is_id(provider) and is_id(event)):
        raise RequestError("not_found")
    body = await body_of(request, WhyRequest)
    row = await stored.read_odd(resources.database, provider, event)
    if decision == "refund" and row.kind != "paid":
        raise RequestError("conflict", "Only a payment can be given back: dismiss this, once it is settled.")
    if decision == "refund" and (row.payment_ref is None or row.is_of is not None):
        raise RequestError("conflict", f"That payment has paid order {row.is_of or row.order_id}: refund that.")
    await stored.note_decision(resources.database, provider, event, cast("Decision", decision), operator.user, body.why)
    if decision == "refund":
        paid_at = providers_of(resources).get(provider)
        if paid_at is None:
            raise RequestError(PAYMENTS_OFF, f"The provider {provider} is not set up.")
        with answering_refusals(request):
            await paid_at.refund(f"event-{event}", row.payment_ref, row.amount)
    return answer(request, _view(await stored.read_odd(resources.database, provider, event)))


ROUTES = (
    Route(
        "GET",
        "/v1/admin/odd-payments",
        OPERATE,
        Rate.QUERY,
        list_undecided,
        "List payments that somebody has to decide on",
        query=PageQuery,
        answer=OddPaymentPage,
    ),
    Route(
        "POST",
        "/v1/admin/odd-payments/{provider}/{event}/{decision}",
        OPERATE,
        Rate.COSTLY,
        decide,
        "Refund or dismiss a payment",
        body=WhyRequest,
        parts={"decision": Decision},
        answer=OddPaymentView,
        errors=("not_found", "conflict", PAYMENTS_OFF, PAYMENT_REFUSED),
    ),
)
