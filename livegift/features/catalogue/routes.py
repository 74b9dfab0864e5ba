"""What can be sent and bought, and what it is worth."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract import wire
from livegift.domain.catalogue import (
    DEFAULT_REGION,
    DIAMONDS_PER_COIN,
    USD_MICROS_PER_DIAMOND,
    creator_share_ppm,
    payout_usd_micros,
)
from livegift.domain.regions import region_of
from livegift.features.orders.rules import Rate, base_rate
from livegift.http.context import cacheable_json, identity_if_any, json_response, resources_of
from livegift.http.routing import Route
from livegift.ledger.catalogue import PriceList, read_all_prices, read_prices
from livegift.ledger.engine import LedgerUnavailableError
from livegift.runtime import access
from livegift.runtime.access import PUBLIC, WALLET
from livegift.runtime.identity import Identity


async def gifts(request: Request) -> Response:
    """`GET /v1/gifts?region=`: prices in coins and, at the region's price per coin without a discount, in money."""
    kinds = resources_of(request).directory.gifts.values()
    rate = None
    with suppress(LedgerUnavailableError):  # gifts are known all the same
        prices = await _prices_of(request)
        rate = base_rate(Rate(p.coins, p.amount_before, p.currency) for p in prices.packages)
    shown = []
    for gift in kinds:
        row = wire.gift_public(gift, with_icon=True)
        if rate is not None:
            row |= {"amount": -(-gift.coins * rate.amount // rate.coins), "currency": rate.currency}
        shown.append(row)
    return cacheable_json(request, {"gifts": shown})


async def _prices_of(request: Request, identity: Identity | None = None) -> PriceList:
    """The prices of the requested region; a region in the token goes first, as that is where its user buys."""
    region = request.query_params.get("region", DEFAULT_REGION)
    if identity is not None and identity.region is not None:
        region = identity.region
    if not wire.is_id(region):  # what can't be a region is not worth a query
        region = DEFAULT_REGION
    return await read_prices(resources_of(request).database, region, identity.user if identity else None)


async def packages(request: Request) -> Response:
    """`GET /v1/coin-packages?region=`: with a viewer's token, what this very viewer would get."""
    prices = await _prices_of(request, identity_if_any(request, WALLET))
    rows = [
        {
            "id": p.id,
            "coins": p.coins,
            "bonus_coins": p.bonus_coins + p.promotion_coins,
            "bonus_coins_before": p.bonus_coins,
            "amount": p.amount,
            "amount_before": p.amount_before,
            "currency": p.currency,
            "promotion_id": p.promotion_id,
        }
        for p in prices.packages
    ]
    return json_response(
        {
            "packages": rows,
            "region": prices.region,
            "priced_region": prices.priced_region,
            "withdrawal_notice": region_of(prices.region).withdrawal_notice,
        }
    )


async def rates(request: Request) -> Response:
    """`GET /v1/rates`: from money to coins to diamonds to money, and what reaches creators, in all regions or one."""
    resources, region = resources_of(request), request.query_params.get("region")
    found = await read_all_prices(resources.database) if region is None else [await _prices_of(request)]
    worth = resources.settings.usd_micros_per_unit
    return json_response(
        {
            "diamonds_per_coin": DIAMONDS_PER_COIN,
            "usd_micros_per_diamond": USD_MICROS_PER_DIAMOND,
            "payout_diamonds_min": resources.settings.payout_diamonds_min,
            "hold_h": resources.settings.hold_h,
            "packages": [
                {
                    "id": p.id,
                    "region": prices.region,
                    "priced_region": prices.priced_region,
                    "amount": p.amount,
                    "currency": p.currency,
                    "coins": p.total_coins,
                    "payout_usd_micros": payout_usd_micros(p),
                    "creator_share_ppm": creator_share_ppm(p, worth),
                }
                for prices in found
                for p in prices.packages
            ],
        }
    )


ROUTES = (
    Route("GET", "/v1/gifts", PUBLIC, access.Rate.QUERY, gifts, "List the gifts that can be sent", is_compressed=True),
    Route("GET", "/v1/coin-packages", PUBLIC, access.Rate.QUERY, packages, "List the coin packages of a region"),
    Route("GET", "/v1/rates", PUBLIC, access.Rate.QUERY, rates, "Show what coins cost and what reaches creators"),
)
