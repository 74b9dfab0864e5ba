"""Routes for buying coins, and for refunds and withdrawals."""

import time
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.bounds import ORDER_COINS_MAX
from livegift.contract.errors import RequestError
from livegift.contract.http import PageQuery
from livegift.contract.values import is_id
from livegift.domain.catalogue import DEFAULT_REGION
from livegift.domain.currencies import USD_MICROS_PER_CENT, CurrencyError, shown, usd_micros_of
from livegift.domain.regions import region_of
from livegift.features.orders.bodies import OrderPage, OrderRequest, OrdersOfUserQuery, OrderView, Shortfall
from livegift.features.orders.errors import (
    ORDER_NOT_PAID,
    PACKAGE_NOT_FOUND,
    PAYMENT_REFUSED,
    PAYMENTS_OFF,
    REAUTHENTICATION_REQUIRED,
)
from livegift.features.orders.offers import region_name
from livegift.features.orders.provider_refusals import answering_refusals
from livegift.features.orders.queries import StoredOrder, list_orders, read_order
from livegift.features.orders.rules import Order
from livegift.features.orders.service import offer_of, place, providers_of, refund, refund_terms_of
from livegift.features.orders.settings import OrderSettings
from livegift.features.orders.withdrawals import withdraw
from livegift.http.context import answer, body_of, identity_of, key_of, query_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.audit_trail import note_before
from livegift.resources.resources import Resources
from livegift.runtime.access import OPERATE, WALLET, Rate
from livegift.runtime.bounds import AUTH_TIME_AHEAD_MAX_S
from livegift.runtime.identity import Identity
from livegift.runtime.settings import Settings


def _view(found: StoredOrder) -> OrderView:
    order, promotion = found.order, found.promotion
    offered = promotion.offered if promotion else None
    # Before and after: what the promotion adds or takes off, or would have.
    bonus_before = order.bonus_coins if offered is None else offered.bonus_coins - offered.promotion_coins
    return OrderView(
        id=order.id,
        status=order.status,
        checkout_url=found.checkout_url,
        package_id=found.package_id,
        coins=order.coins,
        bonus_coins=order.bonus_coins,
        restored_coins=order.restored_coins,
        amount=order.amount,
        currency=order.currency,
        region=found.region,
        priced_region=found.priced_region,
        bonus_coins_before=bonus_before,
        amount_before=order.amount if offered is None else offered.full_amount,
        promotion_id=promotion.id if promotion else None,
        promotion_granted=promotion.granted if promotion else None,
        created_ms=int(found.created_at.timestamp() * 1000),
        withdrawal_notice=region_of(found.region).withdrawal_notice,
    )


def _region_of(identity: Identity, asked: str | None) -> str:
    """Return the buyer's region. Prices differ, so a user with a region in the token buys there and nowhere else."""
    if identity.region is None:
        return region_name(asked or DEFAULT_REGION)
    mine = region_name(identity.region)
    if not is_id(mine) or (asked is not None and region_name(asked) != mine):
        raise RequestError("forbidden", f"This token is for region {identity.region[:64]}.")
    return mine


def _require_fresh(identity: Identity, order: Order, settings: Settings) -> None:
    """Raise RequestError('reauthentication_required') for a large purchase without a recent sign-in.

    "Large" is set in US cents, converted by the operator's rates or else the table's approximate ones.
    """
    try:
        worth_usd_micros = usd_micros_of(order.amount, order.currency, settings.usd_micros_per_unit)
    except CurrencyError as error:
        raise RequestError(PAYMENT_REFUSED, str(error)) from None
    mine = settings.of(OrderSettings)
    worth_max, age_max_s = mine.reauth_amount, mine.reauth_age_s
    if not worth_max or worth_usd_micros <= worth_max * USD_MICROS_PER_CENT:
        return
    age_s = None if identity.auth_time is None else time.time() - identity.auth_time
    if age_s is None or not -AUTH_TIME_AHEAD_MAX_S <= age_s <= age_max_s:
        raise RequestError(
            REAUTHENTICATION_REQUIRED,
            f"Purchases worth more than {shown(worth_max, 'USD')} need a token whose auth_time is at most {age_max_s} "
            f"s ago; this one costs {shown(order.amount, order.currency)}.",
        )


def _own_address(request: Request) -> str:
    """Return the address at which this process listens.

    The Host header would let its sender choose where others pay.
    """
    host, port = request.scope["server"]
    return f"{request.url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _lacking(resources: Resources, user: str, shortfall: Shortfall) -> int:
    kind = resources.directory.gifts.get(shortfall.gift_id)
    if kind is None:
        raise RequestError("gift_not_found")
    lacking = kind.coins * shortfall.count - (await resources.wallets.read(user)).balance
    if not 0 < lacking <= ORDER_COINS_MAX:
        raise RequestError(
            "invalid", f"shortfall: expected 1 to {ORDER_COINS_MAX} coins that are missing, not {lacking}"
        )
    return lacking


async def create(request: Request) -> Response:
    """`POST /v1/orders`: the same Idempotency-Key again returns the same order."""
    identity = identity_of(request)
    body = await body_of(request, OrderRequest)
    key = key_of(request)
    resources = resources_of(request)
    providers = providers_of(resources)
    if body.provider is not None and body.provider not in providers:
        raise RequestError(PAYMENTS_OFF, f"Expected one of {', '.join(providers) or 'none'} as provider.")
    provider = providers.get(body.provider or next(iter(providers), ""))
    if provider is None:
        raise RequestError(PAYMENTS_OFF)
    if (await resources.wallets.read(identity.user)).frozen_by_operator:
        raise RequestError("wallet_frozen", "This wallet is frozen: coins could not be spent, so none are sold.")
    region = _region_of(identity, body.region)
    lacking = await _lacking(resources, identity.user, body.shortfall) if body.shortfall else None
    new = await offer_of(resources.database, provider, body, identity.user, region, lacking)
    settings = resources.settings
    _require_fresh(identity, new.order, settings)
    base_url = settings.public_url.rstrip("/") or _own_address(request)
    with answering_refusals(request):
        placed = await place(resources.database, provider, replace(new, idempotency_key=key), base_url)
    return answer(request, _view(placed), headers={"Location": f"/v1/orders/{placed.order.id}"})


async def _list(request: Request, user: str, query: PageQuery) -> Response:
    found = await list_orders(resources_of(request).database, user, query.cursor or "", query.limit + 1)
    next_cursor = found[query.limit - 1].order.id if len(found) > query.limit else None
    return answer(request, OrderPage([_view(item) for item in found[: query.limit]], next_cursor))


async def list_own(request: Request) -> Response:
    """`GET /v1/orders`: the user's own, newest first."""
    return await _list(request, identity_of(request).user, query_of(request, PageQuery))


async def list_of_user(request: Request) -> Response:
    """`GET /v1/admin/orders?user=`: those of one user, for support."""
    query = query_of(request, OrdersOfUserQuery)
    return await _list(request, query.user, query)


async def read(request: Request) -> Response:
    """`GET /v1/orders/{order}`: one of the user's own; not found for others."""
    identity = identity_of(request)
    order_id = str(request.path_params["order"])
    found = await read_order(resources_of(request).database, order_id) if is_id(order_id) else None
    if found is None or identity.user != found.order.user:
        raise RequestError("not_found", "You have no such order.")
    return answer(request, _view(found))


async def withdraw_order(request: Request) -> Response:
    """`POST /v1/orders/{order}/withdraw`: one of the user's own, in the region's period; repeating it is harmless."""
    identity = identity_of(request)
    order_id = str(request.path_params["order"])
    if not is_id(order_id):
        raise RequestError("not_found")
    resources = resources_of(request)
    terms = refund_terms_of(resources.settings)
    found = await withdraw(
        resources.database, resources.wallets, providers_of(resources), order_id, identity.user, terms
    )
    return answer(request, _view(found))


async def refund_order(request: Request) -> Response:
    """`POST /v1/admin/orders/{order}/refund`: repeating it after a crash or a time-out is harmless."""
    operator = identity_of(request)
    order_id = str(request.path_params["order"])
    if not is_id(order_id):
        raise RequestError("not_found")
    resources = resources_of(request)
    await note_before(resources.database, operator.user, "order.refund", f"order:{order_id}")
    providers, terms = providers_of(resources), refund_terms_of(resources.settings)
    with answering_refusals(request):
        found = await refund(resources.database, resources.wallets, providers, order_id, terms)
    return answer(request, _view(found))


ROUTES = (
    Route(
        "GET",
        "/v1/orders",
        WALLET,
        Rate.PLAIN,
        list_own,
        "List own orders",
        query=PageQuery,
        answer=OrderPage,
    ),
    Route(
        "POST",
        "/v1/orders",
        WALLET,
        Rate.COSTLY,
        create,
        "Order coins",
        body=OrderRequest,
        takes_key=True,
        answer=OrderView,
        status=201,
        errors=(
            PAYMENTS_OFF,
            "wallet_frozen",
            "gift_not_found",
            PACKAGE_NOT_FOUND,
            PAYMENT_REFUSED,
            REAUTHENTICATION_REQUIRED,
            "ref_conflict",
        ),
    ),
    Route(
        "GET",
        "/v1/orders/{order}",
        WALLET,
        Rate.PLAIN,
        read,
        "Read an own order",
        answer=OrderView,
        errors=("not_found",),
    ),
    Route(
        "POST",
        "/v1/orders/{order}/withdraw",
        WALLET,
        Rate.COSTLY,
        withdraw_order,
        "Withdraw from an own order",
        answer=OrderView,
        errors=("not_found", "too_late", ORDER_NOT_PAID, "wallet_frozen", PAYMENTS_OFF),
    ),
    Route(
        "GET",
        "/v1/admin/orders",
        OPERATE,
        Rate.QUERY,
        list_of_user,
        "List a user's orders",
        query=OrdersOfUserQuery,
        answer=OrderPage,
    ),
    Route(
        "POST",
        "/v1/admin/orders/{order}/refund",
        OPERATE,
        Rate.COSTLY,
        refund_order,
        "Refund an order",
        answer=OrderView,
        errors=("not_found", ORDER_NOT_PAID, PAYMENTS_OFF, PAYMENT_REFUSED),
    ),
)
