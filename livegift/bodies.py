"""What clients send over HTTP: request bodies as models."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from livegift.errors import RequestError
from livegift.limits import (
    CATALOGUE_PRICES_MAX,
    GIFT_COUNT_MAX,
    HOLDER_LENGTH_MAX,
    HOLDER_PATTERN,
    ICON_LENGTH_MAX,
    NAME_LENGTH_MAX,
    ORDER_COINS_MAX,
    SPONSOR_BUDGET_COINS_MAX,
    SPONSOR_FACTOR_MAX,
    TEXT_PATTERN,
    WHY_LENGTH_MAX,
)
from livegift.wire import Coins, Id, TimeMs, Title, explain

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, pattern=TEXT_PATTERN)]
Price = Annotated[int, Meta(ge=1, le=10**9)]
T = TypeVar("T")


class RoomBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/rooms`."""

    title: Title
    id: Id | None = None
    kind: Literal["live", "video"] = "live"


class RoomPatch(Struct, frozen=True, forbid_unknown_fields=True):
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
    user: Id | None = None
    coins: Annotated[int, Meta(ge=-(10**13), le=10**13)] | None = None
    gift_event_id: Id | None = None


class LimitsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/wallet/limits`, in coins: all three anew; what is left out or null has no limit."""

    per_gift: Coins | None = None
    day: Coins | None = None
    month: Coins | None = None


class PayoutBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/payouts`."""

    diamonds: Annotated[int, Meta(ge=1, le=10**13)]


class PayoutAccountBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/creator/payout-account`. A holder begins with a letter, as no formula of a spreadsheet does."""

    holder: Annotated[str, Meta(min_length=1, max_length=HOLDER_LENGTH_MAX, pattern=HOLDER_PATTERN)]
    iban: Annotated[str, Meta(min_length=15, max_length=42, pattern=r"^[A-Za-z0-9 ]+$(?!\n)")]


class WhyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Why an operator does something."""

    why: Annotated[str, Meta(min_length=1, max_length=WHY_LENGTH_MAX, pattern=TEXT_PATTERN)]


class BatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/admin/payout-batches`."""

    id: Id | None = None


class SponsorMatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/admin/rooms/{room}/matches`: `factor` gifts added to each (of `gift_id`), until the budget is used."""

    sponsor: Id
    sponsor_name: Name
    title: Title
    budget_coins: Annotated[int, Meta(ge=1, le=SPONSOR_BUDGET_COINS_MAX)]
    gift_id: Id | None = None
    factor: Annotated[int, Meta(ge=1, le=SPONSOR_FACTOR_MAX)] = 1
    starts_ms: TimeMs | None = None
    ends_ms: TimeMs | None = None


class GiftBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/gifts/{gift}`: price and earnings of one piece; `active` false takes it off the list."""

    name: Name
    coins: Price
    diamond_count: Annotated[int, Meta(ge=0, le=10**9)]
    streakable: bool
    tier: Annotated[int, Meta(ge=1, le=3)]
    icon: Annotated[str, Meta(min_length=1, max_length=ICON_LENGTH_MAX, pattern=TEXT_PATTERN)]
    active: bool = True


class PackagePrice(Struct, frozen=True, forbid_unknown_fields=True):
    """What a package costs in a region: `amount` in minor units of `currency` (ISO 4217)."""

    region: Id
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
    amount: Price


class PackageBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/coin-packages/{package}`: sold in the regions that have a price, and nowhere else."""

    coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)]
    prices: Annotated[list[PackagePrice], Meta(max_length=CATALOGUE_PRICES_MAX)]
    bonus_coins: Annotated[int, Meta(ge=0, le=ORDER_COINS_MAX)] = 0
    active: bool = True


class PromotionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /v1/admin/promotions/{promotion}`: bonus coins on a package for a time. `per_user_max` 0: no limit."""

    package_id: Id
    bonus_coins: Annotated[int, Meta(ge=1, le=ORDER_COINS_MAX)]
    starts_ms: TimeMs
    ends_ms: TimeMs
    region: Id | None = None
    per_user_max: Annotated[int, Meta(ge=0, le=1_000)] = 0


class DemoToken(Struct, frozen=True):
    """`POST /demo/token`, which only `livegift dev` has."""

    user: Id
    role: Literal["viewer", "creator"] = "viewer"
    room: Id | None = None
    name: Name | None = None


class DemoCoins(Struct, frozen=True):
    """`POST /demo/coins`, which only `livegift dev` has."""

    user: Id
    coins: Annotated[int, Meta(ge=1, le=100_000)] = 1000


def parse_body(body: bytes, model: type[T]) -> T:
    """A request's body as a model. Raises RequestError('invalid') that names the field."""
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.MsgspecError as error:
        raise RequestError("invalid", explain(error)) from None
    except UnicodeDecodeError:
        raise RequestError("invalid", "expected JSON in UTF-8") from None
    except RecursionError:
        raise RequestError("invalid", "expected JSON that is not nested so deep") from None
