"""The catalogue and the coin packages, as stored."""

from sqlalchemy import func, select, true

from livegift.domain.catalogue import CoinPackage, GiftKind
from livegift.ledger import tables
from livegift.ledger.engine import Database
from livegift.ledger.order_tables import promotions


async def read_gifts(database: Database) -> list[GiftKind]:
    """The gifts that can be sent, cheapest first."""
    kinds = tables.gift_kinds
    query = select(kinds).where(kinds.c.active).order_by(kinds.c.coins, kinds.c.id)
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [
        GiftKind(
            row.id, row.name, row.coins, row.diamond_count, streakable=row.streakable, tier=row.tier, icon=row.icon
        )
        for row in rows
    ]


async def read_packages(database: Database, region: str) -> list[CoinPackage]:
    """The coin packages that are sold in `region`, smallest first, each with the best promotion that runs now."""
    packages, prices = tables.coin_packages, tables.package_prices
    running = (
        select(promotions.c.id, promotions.c.bonus_coins)
        .where(
            promotions.c.package_id == packages.c.id,
            promotions.c.region.is_(None) | (promotions.c.region == region),
            promotions.c.starts_at <= func.now(),
            func.now() < promotions.c.ends_at,
        )
        .order_by(promotions.c.bonus_coins.desc(), promotions.c.id)
        .limit(1)
        .lateral("running")
    )
    query = (
        select(
            packages.c.id,
            packages.c.coins,
            packages.c.bonus_coins,
            prices.c.amount,
            prices.c.currency,
            running.c.id.label("promotion_id"),
            func.coalesce(running.c.bonus_coins, 0).label("promotion_coins"),
        )
        .join(prices, prices.c.package_id == packages.c.id)
        .outerjoin(running, true())
        .where(packages.c.active, prices.c.region == region)
        .order_by(packages.c.coins, packages.c.id)
    )
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [
        CoinPackage(row.id, row.coins, row.bonus_coins, row.amount, row.currency, row.promotion_id, row.promotion_coins)
        for row in rows
    ]


async def read_all_packages(database: Database) -> dict[str, list[CoinPackage]]:
    """The coin packages of every region."""
    async with database.begin() as connection:
        regions = await connection.execute(select(tables.package_prices.c.region).distinct())
        names = sorted(row.region for row in regions)
    return {name: await read_packages(database, name) for name in names}
