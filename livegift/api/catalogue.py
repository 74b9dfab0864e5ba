"""What can be sent and bought, and what it is worth."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift import wire
from livegift.api.context import context_of, json_response
from livegift.domain.catalogue import (
    DEFAULT_REGION,
    DIAMONDS_PER_COIN,
    PAYOUT_DIAMONDS_MIN,
    USD_MICROS_PER_DIAMOND,
    CoinPackage,
    creator_share_ppm,
)
from livegift.ledger.catalogue import read_packages


async def gifts(request: Request) -> Response:
    """`GET /v1/gifts`."""
    kinds = context_of(request).hub.directory.gifts.values()
    return json_response({"gifts": [wire.gift_public(gift, with_icon=True) for gift in kinds]})


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
    return json_response({"packages": rows})


async def rates(request: Request) -> Response:
    """`GET /v1/rates`: from money to coins to diamonds to money, and what reaches the creator."""
    found = await _packages_of(request)
    return json_response(
        {
            "diamonds_per_coin": DIAMONDS_PER_COIN,
            "usd_micros_per_diamond": USD_MICROS_PER_DIAMOND,
            "payout_diamonds_min": PAYOUT_DIAMONDS_MIN,
            "packages": [
                {
                    "id": p.id,
                    "amount": p.amount,
                    "currency": p.currency,
                    "coins": p.coins + p.bonus_coins + p.promotion_coins,
                    "creator_share_ppm": creator_share_ppm(p),
                }
                for p in found
                if p.currency == "USD"
            ],
        }
    )


ROUTES = [
    Route("/v1/gifts", gifts),
    Route("/v1/coin-packages", packages),
    Route("/v1/rates", rates),
]
