"""The catalogue and the coin packages, as stored."""

from sqlalchemy import select

from livegift.domain.catalogue import CoinPackage, GiftKind
from livegift.ledger import tables
from livegift.ledger.engine import Database


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
    """The coin packages that are sold in `region`, smallest first."""
    packages, prices = tables.coin_packages, tables.package_prices
    query = (
        select(packages.c.id, packages.c.coins, packages.c.bonus_coins, prices.c.amount, prices.c.currency)
        .join(prices, prices.c.package_id == packages.c.id)
        .where(packages.c.active, prices.c.region == region)
        .order_by(packages.c.coins, packages.c.id)
    )
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [CoinPackage(row.id, row.coins, row.bonus_coins, row.amount, row.currency) for row in rows]
