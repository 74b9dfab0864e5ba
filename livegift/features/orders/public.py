"""The parts of orders for other features: the prices of coins."""

from livegift.features.orders.errors import PACKAGE_NOT_FOUND
from livegift.features.orders.prices import (
    Package,
    Price,
    PriceList,
    Promotion,
    put_package,
    put_promotion,
    read_all_prices,
    read_offers,
    read_prices,
    read_promotions,
)
from livegift.features.orders.rules import CoinPrice, base_price

__all__ = [
    "PACKAGE_NOT_FOUND",
    "CoinPrice",
    "Package",
    "Price",
    "PriceList",
    "Promotion",
    "base_price",
    "put_package",
    "put_promotion",
    "read_all_prices",
    "read_offers",
    "read_prices",
    "read_promotions",
]
