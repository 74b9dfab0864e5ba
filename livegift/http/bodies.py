"""What clients send over HTTP: request bodies as models."""

from collections import Counter
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from livegift.contract.bounds import (
    CATALOGUE_GIFTS_MAX,
    CATALOGUE_PRICES_MAX,
    CURRENCY_PATTERN,
    GIFT_COUNT_MAX,
    HOLDER_LENGTH_MAX,
    HOLDER_PATTERN,
    IBAN_TEXT_LENGTH_MAX,
    ICON_PATTERN,
    NAME_LENGTH_MAX,
    ORDER_COINS_MAX,
    PERCENT_OFF_MAX,
    SPONSOR_BUDGET_COINS_MAX,
    SPONSOR_FACTOR_MAX,
    TEXT_PATTERN,
    WHY_LENGTH_MAX,
)
from livegift.contract.errors import RequestError
from livegift.contract.wire import Coins, Id, TimeMs, Title, UserId, explain, without_halves
from livegift.domain.catalogue import DEFAULT_ICON, DIAMONDS_PER_COIN, STREAKABLE_COINS_MAX, GiftKind, tier_of
from livegift.domain.texts import visible

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, pattern=TEXT_PATTERN)]
Price = Annotated[int, Meta(ge=1, le=10**9)]
Diamonds = Annotated[int, Meta(ge=0, le=10**9)]
Tier = Annotated[int, Meta(ge=1, le=3)]
Icon = Annotated[str, Meta(pattern=ICON_PATTERN, description="an emoji, or the https address of a picture")]
T = TypeVar("T")


class _Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with texts that people will see."""

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as its own, for a text that would be invisible."""
        for field in ("title", "name", "sponsor_name", "holder"):
            text = getattr(self, field, None)
            if text is not None and not visible(text, len(text)):
                raise ValueError(f"{field}: expected a text that can be seen")


class RoomBody(_Shown, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/rooms`."""

    title: Title
    id: Id | None = None
    kind: Literal["live", "video"] = "live"


class RoomPatch(_Shown, frozen=True, forbid_unknown_fields=True):
    """`PATCH /v1/rooms/{room}`."""

    status: Literal["ended"] | None = None
    title: Title | None = None


class Shortfall(Struct, frozen=True, forbid_unknown_fields=True):
    """The gift that somebody lacks coins for."""

    gift_id: Id
    count: Annotated[int, Meta(ge=1, le=GIFT_COUNT_MAX)] = 1


class OrderBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/orders`: a package, so many coins, or as many as a gift lacks now. One of the three."""

    package_id: Id | None = None
    shortfall_coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)] | None = None
    shortfall: Shortfall | None = None
    region: Id | None = None
    provider: Id | None = None


class CorrectionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/admin/corrections`: coins that a wallet gets or, below zero, gives; or the gift that is undone."""

    why: Annotated[str, Meta(min_length=1, max_length=WHY_LENGTH_MAX, pattern=TEXT_PATTERN)]
    id: Id | None = None
    user: UserId | None = None
    coins: Annotated[int, Meta(ge=-(10**13), le=10**13)] | None = None
    gift_event_id: Id | None = None


class LimitsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/wallet/limits`, in coins: replaces all three; what is left out or null has no limit."""

    per_gift: Coins | None = None
    day: Coins | None = None
    month: Coins | None = None


class PayoutBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/payouts`."""

    diamonds: Annotated[int, Meta(ge=1, le=10**13)]


class PayoutAccountBody(_Shown, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/creator/payout-account`. A holder begins with a letter, as no formula of a spreadsheet does."""

    holder: Annotated[str, Meta(min_length=1, max_length=HOLDER_LENGTH_MAX, pattern=HOLDER_PATTERN)]
    iban: Annotated[str, Meta(min_length=15, max_length=IBAN_TEXT_LENGTH_MAX)]


class WhyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Why an operator does something."""

    why: Annotated[str, Meta(min_length=1, max_length=WHY_LENGTH_MAX, pattern=TEXT_PATTERN)]


class BatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/admin/payout-batches`."""

    id: Id | None = None


class SponsorMatchBody(_Shown, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/admin/rooms/{room}/matches`: `factor` gifts added to each (of `gift_id`), until the budget is used."""

    sponsor: UserId
    sponsor_name: Name
    title: Title
    budget_coins: Annotated[int, Meta(ge=1, le=SPONSOR_BUDGET_COINS_MAX)]
    gift_id: Id | None = None
    factor: Annotated[int, Meta(ge=1, le=SPONSOR_FACTOR_MAX)] = 1
    starts_ms: TimeMs | None = None
    ends_ms: TimeMs | None = None


class GiftBody(_Shown, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/gifts/{gift}`: price and earnings of one piece; `active` false takes it off the list."""

    name: Name
    coins: Price
    diamond_count: Diamonds
    streakable: bool
    tier: Tier
    icon: Icon
    active: bool = True


class CatalogueGift(Struct, frozen=True):
    """One gift of a file for `livegift gifts load`; missing fields have defaults, unknown ones are ignored.

    A gift without a name is called after its id; it earns its price in diamonds; it makes streaks below
    STREAKABLE_COINS_MAX; its tier follows its price.
    """

    id: Id
    coins: Price
    name: Annotated[str, Meta(max_length=NAME_LENGTH_MAX, pattern=TEXT_PATTERN)] | None = None
    icon: Icon | None = None
    diamond_count: Diamonds | None = None
    streakable: bool | None = None
    tier: Tier | None = None

    def to_kind(self) -> GiftKind:
        """Return the gift with its defaults."""
        streakable = self.coins < STREAKABLE_COINS_MAX if self.streakable is None else self.streakable
        return GiftKind(
            self.id,
            visible(self.name or "", NAME_LENGTH_MAX) or f"Gift {self.id}"[:NAME_LENGTH_MAX],
            self.coins,
            self.coins * DIAMONDS_PER_COIN if self.diamond_count is None else self.diamond_count,
            streakable=streakable,
            tier=self.tier or tier_of(self.coins),
            icon=self.icon or DEFAULT_ICON,
        )


def parse_catalogue(data: bytes) -> list[GiftKind]:
    """Return the gifts of a file: a JSON list of `CatalogueGift`, or an object with that list as `gifts`.

    Raises RequestError('invalid') that names the gift and the field.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_list = text.startswith(b"[")
    rows = parse_body(text, list[CatalogueGift]) if is_list else parse_body(text, _CatalogueFile).gifts
    if not 0 < len(rows) <= CATALOGUE_GIFTS_MAX:
        raise RequestError("invalid", f"expected 1 to {CATALOGUE_GIFTS_MAX} gifts, got {len(rows)}")
    twice = [gift_id for gift_id, times in Counter(row.id for row in rows).items() if times > 1]
    if twice:
        raise RequestError("invalid", f"expected each gift once, got {', '.join(twice[:5])} several times")
    return [row.to_kind() for row in rows]


class _CatalogueFile(Struct, frozen=True):
    gifts: list[CatalogueGift]


class PackagePrice(Struct, frozen=True, forbid_unknown_fields=True):
    """What a package costs in a region: `amount` in minor units of `currency` (ISO 4217)."""

    region: Id
    currency: Annotated[str, Meta(pattern=CURRENCY_PATTERN)]
    amount: Price


class PackageBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/coin-packages/{package}`: sold in the regions that have a price, and nowhere else."""

    coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)]
    prices: Annotated[list[PackagePrice], Meta(max_length=CATALOGUE_PRICES_MAX)]
    bonus_coins: Annotated[int, Meta(ge=0, le=ORDER_COINS_MAX)] = 0
    active: bool = True


class PromotionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/promotions/{promotion}`: for some time, bonus coins on a package, a percentage off, or both.

    `per_user_max` 0: no limit.
    """

    package_id: Id
    starts_ms: TimeMs
    ends_ms: TimeMs
    region: Id | None = None
    per_user_max: Annotated[int, Meta(ge=0, le=1_000)] = 0
    bonus_coins: Annotated[int, Meta(ge=0, le=ORDER_COINS_MAX)] = 0
    percent_off: Annotated[int, Meta(ge=0, le=PERCENT_OFF_MAX)] = 0


class DemoToken(Struct, frozen=True):
    """`POST /demo/token`, which only `livegift dev` has."""

    user: UserId
    role: Literal["viewer", "creator"] = "viewer"
    room: Id | None = None
    name: Name | None = None


class DemoCoins(Struct, frozen=True):
    """`POST /demo/coins`, which only `livegift dev` has."""

    user: UserId
    coins: Annotated[int, Meta(ge=1, le=100_000)] = 1000


def parse_body(body: bytes, model: type[T]) -> T:
    """A request's body as a model. Raises RequestError('invalid') that names the field."""
    try:
        try:
            return msgspec.json.decode(body, type=model)
        except msgspec.MsgspecError as error:
            whole = without_halves(body)
            if whole is None:
                raise RequestError("invalid", explain(error)) from None
        return msgspec.json.decode(whole, type=model)
    except msgspec.MsgspecError as error:
        raise RequestError("invalid", explain(error)) from None
    except UnicodeDecodeError:
        raise RequestError("invalid", "expected JSON in UTF-8") from None
    except RecursionError:
        raise RequestError("invalid", "expected JSON that is not nested so deep") from None
