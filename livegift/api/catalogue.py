"""What can be sent and bought, and what it is worth."""

from contextlib import suppress

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift import wire
from livegift.api.context import cacheable_json, context_of, json_response
from livegift.domain.catalogue import (
    DEFAULT_REGION,
    DIAMONDS_PER_COIN,
    USD_MICROS_PER_DIAMOND,
    CoinPackage,
    creator_share_ppm,
    payout_usd_micros,
)
from livegift.domain.orders import Rate, base_rate
from livegift.domain.regions import region_of
from livegift.ledger.catalogue import read_all_packages, read_packages
from livegift.ledger.engine import LedgerUnavailableError
from livegift.limits import COMPRESS_BYTES_MIN


async def gifts(request: Request) -> Response:
    """`GET /v1/gifts?region=`: prices in coins and, at the region's price per coin without a discount, in money."""
    kinds = context_of(request).hub.directory.gifts.values()
    rate = None
    with suppress(LedgerUnavailableError):  # gifts are known all the same
        rate = base_rate(Rate(p.coins, p.amount, p.currency) for p in await _packages_of(request))
    shown = []
    for gift in kinds:
        row = wire.gift_public(gift, with_icon=True)
        if rate is not None:
            row |= {"amount": -(-gift.coins * rate.amount // rate.coins), "currency": rate.currency}
        shown.append(row)
    return cacheable_json(request, {"gifts": shown})


async def _packages_of(request: Request) -> list[CoinPackage]:
    region = request.query_params.get("region", DEFAULT_REGION)
    # What can't be a region has no packages, and is nothing to ask the database.
    return await read_packages(context_of(request).database, region) if wire.is_id(region) else []


async def packages(request: Request) -> Response:
    """`GET /v1/coin-packages?region=`."""
    found = await _packages_of(request)
    rows = [
        {
            "id": p.id,
            "coins": p.coins,
            "bonus_coins": p.bonus_coins + p.promotion_coins,
            "amount": p.amount,
            "currency": p.currency,
            "promotion_id": p.promotion_id,
        }
        for p in found
    ]
    notice = region_of(request.query_params.get("region", DEFAULT_REGION)).withdrawal_notice
    return json_response({"packages": rows, "withdrawal_notice": notice})


async def rates(request: Request) -> Response:
    """`GET /v1/rates`: from money to coins to diamonds to money, and what reaches creators, in all regions or one."""
    context, region = context_of(request), request.query_params.get("region")
    if region is None:
        found = await read_all_packages(context.database)
    else:
        found = {region: await _packages_of(request)}
    worth = context.settings.usd_micros_per_unit
    return json_response(
        {
            "diamonds_per_coin": DIAMONDS_PER_COIN,
            "usd_micros_per_diamond": USD_MICROS_PER_DIAMOND,
            "payout_diamonds_min": context.settings.payout_diamonds_min,
            "hold_h": context.settings.hold_h,
            "packages": [
                {
                    "id": p.id,
                    "region": region,
                    "amount": p.amount,
                    "currency": p.currency,
                    "coins": p.coins + p.bonus_coins + p.promotion_coins,
                    "payout_usd_micros": payout_usd_micros(p),
                    "creator_share_ppm": creator_share_ppm(p, worth),
                }
                for region, packages in found.items()
                for p in packages
            ],
        }
    )


ROUTES = [
    Route(
        "/v1/gifts", gifts, middleware=[Middleware(GZipMiddleware, minimum_size=COMPRESS_BYTES_MIN, compresslevel=5)]
    ),
    Route("/v1/coin-packages", packages),
    Route("/v1/rates", rates),
]
