"""Routes of gifts, coin packages and rates."""

from contextlib import suppress

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.http import RegionQuery
from livegift.contract.values import GiftKind, is_id
from livegift.domain.catalogue import (
    DEFAULT_REGION,
    DIAMONDS_PER_COIN,
    USD_MICROS_PER_DIAMOND,
    creator_share_ppm,
    payout_usd_micros,
)
from livegift.domain.regions import region_of
from livegift.features.catalogue.bodies import (
    GiftsView,
    GiftView,
    PackageOffer,
    PackageRates,
    PackagesView,
    RatesView,
)
from livegift.features.orders.public import CoinPrice, PriceList, base_price, read_all_prices, read_prices
from livegift.http.context import answer, identity_if_any, query_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.engine import LedgerUnavailableError
from livegift.runtime import access
from livegift.runtime.access import PUBLIC, WALLET
from livegift.runtime.identity import Identity


async def gifts(request: Request) -> Response:
    """`GET /v1/gifts?region=`: prices in coins and, at the region's undiscounted price per coin, in money."""
    kinds = resources_of(request).directory.gifts.values()
    price = None
    with suppress(LedgerUnavailableError):  # gifts are known all the same
        prices = await _prices_of(request)
        price = base_price(CoinPrice(p.coins, p.amount_before, p.currency) for p in prices.packages)
    return answer(request, GiftsView([_gift(gift, price) for gift in kinds]))


def _gift(gift: GiftKind, price: CoinPrice | None) -> GiftView:
    amount, currency = (-(-gift.coins * price.amount // price.coins), price.currency) if price else (UNSET, UNSET)
    return GiftView(
        id=gift.id,
        name=gift.name,
        coins=gift.coins,
        diamond_count=gift.diamond_count,
        streakable=gift.streakable,
        tier=gift.tier,
        icon=gift.icon,
        amount=amount,
        currency=currency,
    )


async def _prices_of(request: Request, identity: Identity | None = None) -> PriceList:
    """Return the prices of the requested region. A region in the token takes precedence, as its user buys there."""
    asked = query_of(request, RegionQuery).region
    region = DEFAULT_REGION if asked is None else asked
    if identity is not None and identity.region is not None:
        region = identity.region
    if not is_id(region):  # what can't be a region is not worth a query
        region = DEFAULT_REGION
    return await read_prices(resources_of(request).database, region, identity.user if identity else None)


async def packages(request: Request) -> Response:
    """`GET /v1/coin-packages?region=`: packages; with a viewer's token, as this viewer would get them."""
    prices = await _prices_of(request, identity_if_any(request))
    offers = [
        PackageOffer(
            id=p.id,
            coins=p.coins,
            bonus_coins=p.bonus_coins + p.promotion_coins,
            bonus_coins_before=p.bonus_coins,
            amount=p.amount,
            amount_before=p.amount_before,
            currency=p.currency,
            promotion_id=p.promotion_id,
        )
        for p in prices.packages
    ]
    notice = region_of(prices.region).withdrawal_notice
    return answer(request, PackagesView(offers, prices.region, prices.priced_region, notice))


async def rates(request: Request) -> Response:
    """`GET /v1/rates`: from money to coins to diamonds to money, and creators' share, in all regions or one."""
    resources, region = resources_of(request), query_of(request, RegionQuery).region
    found = await read_all_prices(resources.database) if region is None else [await _prices_of(request)]
    worth = resources.settings.usd_micros_per_unit
    packages = [
        PackageRates(
            id=p.id,
            region=prices.region,
            priced_region=prices.priced_region,
            amount=p.amount,
            currency=p.currency,
            coins=p.total_coins,
            payout_usd_micros=payout_usd_micros(p),
            creator_share_ppm=creator_share_ppm(p, worth),
        )
        for prices in found
        for p in prices.packages
    ]
    return answer(
        request,
        RatesView(
            diamonds_per_coin=DIAMONDS_PER_COIN,
            usd_micros_per_diamond=USD_MICROS_PER_DIAMOND,
            payout_diamonds_min=resources.settings.payout_diamonds_min,
            hold_h=resources.settings.hold_h,
            packages=packages,
        ),
    )


ROUTES = (
    Route(
        "GET",
        "/v1/gifts",
        PUBLIC,
        access.Rate.QUERY,
        gifts,
        "List the gifts that can be sent",
        query=RegionQuery,
        answer=GiftsView,
        is_cacheable=True,
        is_compressed=True,
    ),
    Route(
        "GET",
        "/v1/coin-packages",
        PUBLIC,
        access.Rate.QUERY,
        packages,
        "List the coin packages of a region",
        query=RegionQuery,
        answer=PackagesView,
        optional=WALLET,
    ),
    Route(
        "GET",
        "/v1/rates",
        PUBLIC,
        access.Rate.QUERY,
        rates,
        "Show what coins cost and what reaches creators",
        query=RegionQuery,
        answer=RatesView,
    ),
)
