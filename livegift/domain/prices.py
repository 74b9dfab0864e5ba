"""Prices of the default packages by region, in minor units of each region's currency: an operator's starting point.

Where prices are usually shown with tax, it is included. Each price is a multiple of its currency's `price_step`.
"""

from collections.abc import Mapping

# Region -> currency, and the prices of the default packages in their order.
REGIONAL_PRICES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "US": ("USD", (199, 999, 1_999, 3_999, 7_999)),
    "CA": ("CAD", (279, 1_399, 2_799, 5_599, 11_199)),
    "AU": ("AUD", (299, 1_499, 2_999, 5_999, 11_999)),
    "GB": ("GBP", (169, 849, 1_699, 3_399, 6_799)),
    "DE": ("EUR", (219, 1_099, 2_199, 4_399, 8_799)),
    "FR": ("EUR", (219, 1_099, 2_199, 4_399, 8_799)),
    "ES": ("EUR", (219, 1_099, 2_199, 4_399, 8_799)),
    "BR": ("BRL", (1_190, 5_990, 11_990, 23_990, 47_990)),
    "MX": ("MXN", (3_900, 19_900, 39_900, 79_900, 159_900)),
    "JP": ("JPY", (320, 1_600, 3_200, 6_400, 12_800)),
    "KR": ("KRW", (3_000, 15_000, 30_000, 60_000, 120_000)),
    "IN": ("INR", (17_900, 89_900, 179_900, 359_900, 719_900)),
    "ID": ("IDR", (3_300_000, 16_500_000, 32_900_000, 65_900_000, 131_900_000)),
    "AE": ("AED", (749, 3_699, 7_399, 14_799, 29_599)),
}
