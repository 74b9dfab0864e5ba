"""Coin packages, their prices and promotions, as stored; operators' changes go to the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import RequestError
from livegift.domain.catalogue import CoinPackage
from livegift.features.orders.errors import PACKAGE_NOT_FOUND
from livegift.features.orders.offers import PromotionTerms, best, priced_regions
from livegift.features.orders.tables import orders, promotions
from livegift.ledger import audit_trail, tables
from livegift.ledger.engine import Database


@dataclass(frozen=True, slots=True)
class Price:
    """A package's price in a region: `amount` in minor units of `currency`."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Package:
    """A coin package with its price in each region that sells it."""

    id: str
    coins: int
    bonus_coins: int
    prices: Mapping[str, Price]
    active: bool = True


@dataclass(frozen=True, slots=True)
class Promotion:
    """Bonus coins on a package, or a percentage off its price, from `starts_at` until `ends_at`.

    Without a `region` it holds everywhere; `per_user_max` 0 means no limit.
    """

    id: str
    package_id: str
    region: str | None
    bonus_coins: int
    starts_at: datetime
    ends_at: datetime
    per_user_max: int
    percent_off: int = 0


@dataclass(frozen=True, slots=True)
class PriceList:
    """The packages sold in a region, smallest first, each with the best promotion that is running.

    `priced_region` is the region whose prices apply, None when nothing is sold.
    """

    region: str
    priced_region: str | None
    packages: tuple[CoinPackage, ...]


async def read_prices(database: Database, region: str, user: str | None = None) -> PriceList:
    """Return the prices of `region`; for `user`, without the promotions that this user has used up."""
    packages, prices = tables.coin_packages, tables.package_prices
    names = priced_regions(region)
    query = (
        select(
            packages.c.id, packages.c.coins, packages.c.bonus_coins, prices.c.region, prices.c.amount, prices.c.currency
        )
        .join(prices, prices.c.package_id == packages.c.id)
        .where(packages.c.active, prices.c.region.in_(names))
        .order_by(packages.c.coins, packages.c.id)
    )
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
        running = await _running(connection, names[0], user)
    priced = next((name for name in names if any(row.region == name for row in rows)), None)
    full = [
        CoinPackage(row.id, row.coins, row.bonus_coins, row.amount, row.currency)
        for row in rows
        if row.region == priced
    ]
    return PriceList(names[0], priced, tuple(best(package, running.get(package.id, ())) for package in full))


async def _running(connection: AsyncConnection, region: str, user: str | None) -> dict[str, list[PromotionTerms]]:
    """Return the promotions running in `region`, by package; for `user`, only those that are not used up."""
    query = select(promotions).where(
        promotions.c.region.is_(None) | (promotions.c.region == region),
        promotions.c.starts_at <= func.now(),
        func.now() < promotions.c.ends_at,
    )
    if user is not None:
        used = (
            select(func.count())
            .where(orders.c.promotion_id == promotions.c.id, orders.c.user_id == user, orders.c.promotion_granted)
            .scalar_subquery()
        )
        query = query.where((promotions.c.per_user_max == 0) | (used < promotions.c.per_user_max))
    found: dict[str, list[PromotionTerms]] = {}
    for row in (await connection.execute(query)).all():
        found.setdefault(row.package_id, []).append(PromotionTerms(row.id, row.bonus_coins, row.percent_off))
    return found


async def read_all_prices(database: Database) -> list[PriceList]:
    """Return the prices of every region that has prices of its own."""
    async with database.begin() as connection:
        regions = await connection.execute(select(tables.package_prices.c.region).distinct())
        names = sorted(row.region for row in regions)
    return [await read_prices(database, name) for name in names]


# --- What operators change: orders that were made keep what was agreed on ---


async def put_package(database: Database, package: Package, actor: str) -> None:
    """Add or change a package. All of its prices are replaced."""
    packages, prices = tables.coin_packages, tables.package_prices
    values = {"coins": package.coins, "bonus_coins": package.bonus_coins, "active": package.active}
    rows = [
        {"package_id": package.id, "region": region, "currency": price.currency, "amount": price.amount}
        for region, price in package.prices.items()
    ]
    upsert = insert(packages).values(id=package.id, **values)
    async with database.begin() as connection:
        await connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))
        await connection.execute(delete(prices).where(prices.c.package_id == package.id))
        if rows:
            await connection.execute(insert(prices), rows)
        await audit_trail.note(connection, actor, "package.put", f"package:{package.id}", {**values, "prices": rows})


async def read_offers(database: Database) -> list[Package]:
    """Return all packages, including those not on sale."""
    packages, prices = tables.coin_packages, tables.package_prices
    async with database.begin() as connection:
        found = (await connection.execute(select(packages).order_by(packages.c.coins, packages.c.id))).all()
        rows = (await connection.execute(select(prices).order_by(prices.c.region))).all()
    of_package: dict[str, dict[str, Price]] = {row.id: {} for row in found}
    for row in rows:
        of_package[row.package_id][row.region] = Price(row.amount, row.currency)
    return [Package(row.id, row.coins, row.bonus_coins, of_package[row.id], row.active) for row in found]


async def put_promotion(database: Database, promotion: Promotion, actor: str) -> None:
    """Add or change a promotion; an `ends_at` in the past ends it.

    Raises RequestError('package_not_found').
    """
    values = {
        "package_id": promotion.package_id,
        "region": promotion.region,
        "bonus_coins": promotion.bonus_coins,
        "starts_at": promotion.starts_at,
        "ends_at": promotion.ends_at,
        "per_user_max": promotion.per_user_max,
        "percent_off": promotion.percent_off,
    }
    shown = {**values, "starts_at": str(promotion.starts_at), "ends_at": str(promotion.ends_at)}
    known = select(tables.coin_packages.c.id).where(tables.coin_packages.c.id == promotion.package_id)
    upsert = insert(promotions).values(id=promotion.id, **values)
    async with database.begin() as connection:
        if await connection.scalar(known) is None:
            raise RequestError(PACKAGE_NOT_FOUND, f"There is no coin package {promotion.package_id}.")
        await connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))
        await audit_trail.note(connection, actor, "promotion.put", f"promotion:{promotion.id}", shown)


async def read_promotions(database: Database, after: str, limit: int) -> list[Promotion]:
    """Return promotions of all times in the order of their ids, those after `after`."""
    table = promotions
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [
        Promotion(
            row.id,
            row.package_id,
            row.region,
            row.bonus_coins,
            row.starts_at,
            row.ends_at,
            row.per_user_max,
            row.percent_off,
        )
        for row in rows
    ]
