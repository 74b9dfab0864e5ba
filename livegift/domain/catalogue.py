"""What can be sent and bought. All of it is data that an operator can change; these are the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass

from livegift.domain.currencies import minor_digits


@dataclass(frozen=True, slots=True)
class GiftKind:
    """A gift of the catalogue. `coins` is its price, `diamond_count` what the creator earns, each for one piece."""

    id: str
    name: str
    coins: int
    diamond_count: int
    streakable: bool
    tier: int
    icon: str


@dataclass(frozen=True, slots=True)
class CoinPackage:
    """Coins for money. `amount` is in minor units (cents) of `currency` (ISO 4217).

    `promotion_id` is the promotion that runs for it, `promotion_coins` the bonus that it adds, `full_amount` the price
    without it (None: `amount` is that).
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
        """All coins that it gives, bonus included."""
        return self.coins + self.bonus_coins + self.promotion_coins

    @property
    def amount_before(self) -> int:
        """The price without the promotion."""
        return self.amount if self.full_amount is None else self.full_amount


# One coin gives one diamond; a diamond pays half a US cent. Integers on the whole way.
DIAMONDS_PER_COIN = 1
USD_MICROS_PER_DIAMOND = 5_000
DEFAULT_REGION = "US"

# Defaults where the catalogue does not say: from this price up gifts are not streakable, and tiers begin at these.
DEFAULT_ICON = "🎁"
STREAKABLE_COINS_MAX = 500
_TIERS_FROM_COINS = ((5_000, 3), (500, 2))


def tier_of(coins: int) -> int:
    """Return how prominently (1 to 3) a gift of that price is shown."""
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
    """What creators are paid when all coins of a package are sent, its bonus included."""
    return package.total_coins * DIAMONDS_PER_COIN * USD_MICROS_PER_DIAMOND


def creator_share_ppm(package: CoinPackage, usd_micros_per_unit: Mapping[str, int]) -> int | None:
    """The part of a package's price that reaches creators when all its coins are sent, in millionths.

    `usd_micros_per_unit` is what one unit (not a minor one) of other currencies is worth; None for one that it lacks.
    """
    unit_micros = 1_000_000 if package.currency == "USD" else usd_micros_per_unit.get(package.currency)
    if unit_micros is None:
        return None
    price_micros = package.amount * unit_micros // 10 ** minor_digits(package.currency)
    return payout_usd_micros(package) * 1_000_000 // price_micros if price_micros else None
