"""The requests and responses of the routes of gifts, coin packages and promotions."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from livegift.contract.bounds import (
    CATALOGUE_PRICES_MAX,
    CURRENCY_PATTERN,
    ICON_PATTERN,
    ORDER_COINS_MAX,
    PERCENT_OFF_MAX,
)
from livegift.contract.http import Currency, MinorUnits, Name, Page, Price
from livegift.contract.values import Coins, Id, TimeMs
from livegift.http.bodies import VisibleTexts

Diamonds = Annotated[int, Meta(ge=0, le=10**9)]
Tier = Annotated[int, Meta(ge=1, le=3)]
Icon = Annotated[str, Meta(pattern=ICON_PATTERN, description="an emoji, or the https address of a picture")]
BonusCoins = Annotated[int, Meta(ge=0, le=ORDER_COINS_MAX)]


# --- Anybody ----------------------------------------------------------------------------------------------------------


class GiftView(Struct, frozen=True):
    """A gift. Where coins are sold it has a price in money, `amount` for one piece."""

    id: Id
    name: str
    coins: Coins
    diamond_count: Diamonds
    streakable: bool
    tier: Tier
    icon: Icon
    amount: MinorUnits | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET


class GiftsView(Struct, frozen=True):
    """The gifts that can be sent, cheapest first."""

    gifts: list[GiftView]


class PackageOffer(Struct, frozen=True):
    """A coin package as it is sold now and, in `…_before`, as it would be without its promotion."""

    id: Id
    coins: Coins
    bonus_coins: Coins
    bonus_coins_before: Coins
    amount: MinorUnits
    amount_before: MinorUnits
    currency: Currency
    promotion_id: Id | None


class PackagesView(Struct, frozen=True):
    """The coin packages of a region. `priced_region` is the one whose prices apply, null where nothing is sold."""

    packages: list[PackageOffer]
    region: str
    priced_region: str | None
    withdrawal_notice: str


class PackageRates(Struct, frozen=True):
    """Creators' earnings from a package's coins, in dollars and as a share of its price in parts per million."""

    id: Id
    region: str
    priced_region: str | None
    amount: MinorUnits
    currency: Currency
    coins: Coins
    payout_usd_micros: int
    creator_share_ppm: int | None


class RatesView(Struct, frozen=True):
    """The rates from money to coins to diamonds to money. Diamonds can be paid out after `hold_h` hours."""

    diamonds_per_coin: int
    usd_micros_per_diamond: int
    payout_diamonds_min: int
    hold_h: int
    packages: list[PackageRates]


# --- Operators --------------------------------------------------------------------------------------------------------


class GiftRequest(VisibleTexts, frozen=True, forbid_unknown_fields=True):
    """A gift: price and earnings are for one piece; with `active` false it is not on the list."""

    name: Name
    coins: Price
    diamond_count: Diamonds
    streakable: bool
    tier: Tier
    icon: Icon
    active: bool = True


class StoredGift(Struct, frozen=True):
    """A gift of the catalogue."""

    id: Id
    name: str
    coins: Price
    diamond_count: Diamonds
    streakable: bool
    tier: Tier
    icon: Icon
    active: bool


class PackagePrice(Struct, frozen=True, forbid_unknown_fields=True):
    """A package's price in a region: `amount` in minor units of `currency` (ISO 4217)."""

    region: Id
    currency: Annotated[str, Meta(pattern=CURRENCY_PATTERN)]
    amount: Price


class PackageRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A coin package, sold only in the regions that have a price."""

    coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)]
    prices: Annotated[list[PackagePrice], Meta(max_length=CATALOGUE_PRICES_MAX)]
    bonus_coins: BonusCoins = 0
    active: bool = True


class StoredPrice(Struct, frozen=True):
    """A package's price in a region."""

    region: Id
    amount: MinorUnits
    currency: Currency


class StoredPackage(Struct, frozen=True):
    """A coin package with all of its prices."""

    id: Id
    coins: Coins
    bonus_coins: Coins
    prices: list[StoredPrice]
    active: bool


class StoredPackagePage(Page[StoredPackage], frozen=True):
    """All coin packages, sold or not, on one page."""


class PromotionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Bonus coins on a package, a percentage off, or both, for some time.

    `per_user_max` 0: no limit.
    """

    package_id: Id
    starts_ms: TimeMs
    ends_ms: TimeMs
    region: Id | None = None
    per_user_max: Annotated[int, Meta(ge=0, le=1_000)] = 0
    bonus_coins: BonusCoins = 0
    percent_off: Annotated[int, Meta(ge=0, le=PERCENT_OFF_MAX)] = 0


class PromotionView(Struct, frozen=True):
    """A promotion; without a `region` it holds everywhere."""

    id: Id
    package_id: Id
    region: str | None
    bonus_coins: Coins
    starts_ms: TimeMs
    ends_ms: TimeMs
    per_user_max: int
    percent_off: int


class PromotionPage(Page[PromotionView], frozen=True):
    """Past, running and future promotions, by id."""
