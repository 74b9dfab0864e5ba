"""Operators' routes of the catalogue: gifts, coin packages with their prices, promotions."""

from datetime import UTC, datetime

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError
from livegift.contract.http import PageQuery
from livegift.contract.values import GiftKind, is_id
from livegift.domain.currencies import CurrencyError, check_price
from livegift.features.catalogue.bodies import (
    GiftRequest,
    PackageRequest,
    PromotionPage,
    PromotionRequest,
    PromotionView,
    StoredGift,
    StoredPackage,
    StoredPackagePage,
    StoredPrice,
)
from livegift.features.orders import public as orders
from livegift.features.orders.public import PACKAGE_NOT_FOUND, Package, Price, Promotion
from livegift.http.context import answer, body_of, identity_of, query_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.catalogue import put_gifts
from livegift.runtime.access import OPERATE, Rate


def _id_of(request: Request, name: str) -> str:
    given = str(request.path_params[name])
    if not is_id(given):
        raise RequestError("invalid", f"{name}: expected 1 to 64 of A-Z a-z 0-9 . _ : -")
    return given


async def put_gift(request: Request) -> Response:
    """`PUT /v1/admin/gifts/{gift}`: add or change a gift from now on; gifts already sent are unaffected."""
    operator = identity_of(request)
    body = await body_of(request, GiftRequest)
    kind = GiftKind(
        _id_of(request, "gift"),
        body.name,
        body.coins,
        body.diamond_count,
        streakable=body.streakable,
        tier=body.tier,
        icon=body.icon,
    )
    await put_gifts(resources_of(request).database, [kind], active=body.active, actor=operator.user)
    return answer(request, StoredGift(**asdict(kind), active=body.active))


def _package(package: Package) -> StoredPackage:
    prices = [StoredPrice(region, price.amount, price.currency) for region, price in package.prices.items()]
    return StoredPackage(package.id, package.coins, package.bonus_coins, prices, package.active)


async def list_packages(request: Request) -> Response:
    """`GET /v1/admin/coin-packages`: all of them, on sale or not."""
    found = await orders.read_offers(resources_of(request).database)
    return answer(request, StoredPackagePage([_package(package) for package in found], None))


async def put_package(request: Request) -> Response:
    """`PUT /v1/admin/coin-packages/{package}`: add or change one, with all its prices; existing orders keep theirs."""
    operator = identity_of(request)
    body = await body_of(request, PackageRequest)
    prices = {price.region: Price(price.amount, price.currency) for price in body.prices}
    if len(prices) < len(body.prices):
        raise RequestError("invalid", "prices: expected each region once")
    for price in body.prices:
        try:
            check_price(price.amount, price.currency)
        except CurrencyError as error:
            raise RequestError("invalid", f"prices, region {price.region}: {error}") from None
    package = Package(_id_of(request, "package"), body.coins, body.bonus_coins, prices, body.active)
    await orders.put_package(resources_of(request).database, package, operator.user)
    return answer(request, _package(package))


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _promotion(promotion: Promotion) -> PromotionView:
    return PromotionView(
        id=promotion.id,
        package_id=promotion.package_id,
        region=promotion.region,
        bonus_coins=promotion.bonus_coins,
        starts_ms=int(promotion.starts_at.timestamp() * 1000),
        ends_ms=int(promotion.ends_at.timestamp() * 1000),
        per_user_max=promotion.per_user_max,
        percent_off=promotion.percent_off,
    )


async def list_promotions(request: Request) -> Response:
    """`GET /v1/admin/promotions`: past, running and future ones."""
    query = query_of(request, PageQuery)
    found = await orders.read_promotions(resources_of(request).database, query.cursor or "", query.limit + 1)
    next_cursor = found[query.limit - 1].id if len(found) > query.limit else None
    return answer(request, PromotionPage([_promotion(item) for item in found[: query.limit]], next_cursor))


async def put_promotion(request: Request) -> Response:
    """`PUT /v1/admin/promotions/{promotion}`: add or change one; an `ends_ms` in the past ends it."""
    operator = identity_of(request)
    body = await body_of(request, PromotionRequest)
    if body.starts_ms >= body.ends_ms:
        raise RequestError("invalid", "ends_ms: expected a time after starts_ms")
    if not body.bonus_coins and not body.percent_off:
        raise RequestError("invalid", "expected bonus_coins, percent_off or both")
    promotion = Promotion(
        _id_of(request, "promotion"),
        body.package_id,
        body.region,
        body.bonus_coins,
        _at(body.starts_ms),
        _at(body.ends_ms),
        body.per_user_max,
        body.percent_off,
    )
    await orders.put_promotion(resources_of(request).database, promotion, operator.user)
    return answer(request, _promotion(promotion))


ROUTES = (
    Route(
        "PUT",
        "/v1/admin/gifts/{gift}",
        OPERATE,
        Rate.QUERY,
        put_gift,
        "Put a gift into the catalogue",
        body=GiftRequest,
        answer=StoredGift,
    ),
    Route(
        "GET",
        "/v1/admin/coin-packages",
        OPERATE,
        Rate.PLAIN,
        list_packages,
        "List all coin packages",
        answer=StoredPackagePage,
    ),
    Route(
        "PUT",
        "/v1/admin/coin-packages/{package}",
        OPERATE,
        Rate.QUERY,
        put_package,
        "Put a coin package with its prices",
        body=PackageRequest,
        answer=StoredPackage,
    ),
    Route(
        "GET",
        "/v1/admin/promotions",
        OPERATE,
        Rate.PLAIN,
        list_promotions,
        "List promotions",
        query=PageQuery,
        answer=PromotionPage,
    ),
    Route(
        "PUT",
        "/v1/admin/promotions/{promotion}",
        OPERATE,
        Rate.QUERY,
        put_promotion,
        "Put a promotion",
        body=PromotionRequest,
        answer=PromotionView,
        errors=(PACKAGE_NOT_FOUND,),
    ),
)
