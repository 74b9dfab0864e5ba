"""The gifts and coin packages on offer. These are defaults: operators can change all of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from livegift.contract.values import GiftKind
from livegift.domain.currencies import minor_digits


@dataclass(frozen=True, slots=True)
class CoinPackage:
    """Coins for sale. `amount` is the price in minor units (cents) of `currency` (ISO 4217).

    `promotion_id` names the promotion that is running, `promotion_coins` is the bonus it adds, and `full_amount` is the
    price without it (None: the same as `amount`).
    """

    id: str
    coins: int
    bonus_coins: int
    amount: int
    currency: str
    promotion_id: str | None = None
    promotion_coins: int = 0
    full_amount: int | None = None

    @property
    def total_coins(self) -> int:
        """Return all coins that the buyer gets, bonuses included."""
        return self.coins + self.bonus_coins + self.promotion_coins

    @property
    def amount_before(self) -> int:
        """Return the price without the promotion."""
        return self.amount if self.full_amount is None else self.full_amount


# One coin gives one diamond; a diamond pays half a US cent. All integers.
DIAMONDS_PER_COIN = 1
USD_MICROS_PER_DIAMOND = 5_000
DEFAULT_REGION = "US"

# Defaults for gifts that do not say: from this price up they are not streakable, and the tiers begin at these prices.
DEFAULT_ICON = "🎁"
STREAKABLE_COINS_MAX = 500
_TIERS_FROM_COINS = ((5_000, 3), (500, 2))


def tier_of(coins: int) -> int:
    """Return the tier of a gift of that price: how prominently it is shown, from 1 to 3."""
    return next((tier for least, tier in _TIERS_FROM_COINS if coins >= least), 1)


DEFAULT_GIFTS = (
    GiftKind("rose", "Rose", 1, 1, streakable=True, tier=1, icon="🌹"),
    GiftKind("heart", "Heart", 5, 5, streakable=True, tier=1, icon="💖"),
    GiftKind("coffee", "Coffee", 10, 10, streakable=True, tier=1, icon="☕"),
    GiftKind("donut", "Donut", 30, 30, streakable=True, tier=1, icon="🍩"),
    GiftKind("confetti", "Confetti", 100, 100, streakable=True, tier=1, icon="🎉"),
    GiftKind("sunglasses", "Sunglasses", 199, 199, streakable=True, tier=2, icon="😎"),
    GiftKind("balloon", "Hot-air balloon", 500, 500, streakable=False, tier=2, icon="🎈"),
    GiftKind("fireworks", "Fireworks", 1_088, 1_088, streakable=False, tier=2, icon="🎆"),
    GiftKind("motorbike", "Motorbike", 2_988, 2_988, streakable=False, tier=2, icon="🏍️"),
    GiftKind("yacht", "Yacht", 7_499, 7_499, streakable=False, tier=3, icon="🛥️"),
    GiftKind("rocket", "Rocket", 20_000, 20_000, streakable=False, tier=3, icon="🚀"),
    GiftKind("lion", "Lion", 29_999, 29_999, streakable=False, tier=3, icon="🦁"),
    GiftKind("universe", "Universe", 34_999, 34_999, streakable=False, tier=3, icon="🌌"),
)

DEFAULT_PACKAGES = (
    CoinPackage("coins-100", 100, 0, 199, "USD"),
    CoinPackage("coins-550", 550, 0, 999, "USD"),
    CoinPackage("coins-1250", 1_250, 0, 1_999, "USD"),
    CoinPackage("coins-2650", 2_650, 0, 3_999, "USD"),
    CoinPackage("coins-5450", 5_450, 0, 7_999, "USD"),
)


def payout_usd_micros(package: CoinPackage) -> int:
    """Return what creators are paid when all coins of a package are sent, its bonus included."""
    return package.total_coins * DIAMONDS_PER_COIN * USD_MICROS_PER_DIAMOND


def creator_share_ppm(package: CoinPackage, usd_micros_per_unit: Mapping[str, int]) -> int | None:
    """Return the share of a package's price that creators get when all its coins are sent, in millionths.

    `usd_micros_per_unit` is the value of one unit (not a minor one) of other currencies. Returns None for a currency it
    lacks and for a package that costs nothing.
    """
    unit_micros = 1_000_000 if package.currency == "USD" else usd_micros_per_unit.get(package.currency)
    if unit_micros is None:
        return None
    price_micros = package.amount * unit_micros // 10 ** minor_digits(package.currency)
    return payout_usd_micros(package) * 1_000_000 // price_micros if price_micros else None
