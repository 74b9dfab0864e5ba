"""The parts of orders for other features: the prices of coins."""

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
from livegift.features.orders.rules import Rate, base_rate

__all__ = [
    "Package",
    "Price",
    "PriceList",
    "Promotion",
    "Rate",
    "base_rate",
    "put_package",
    "put_promotion",
    "read_all_prices",
    "read_offers",
    "read_prices",
    "read_promotions",
]
