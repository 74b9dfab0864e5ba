"""HTTP types that several features share: pages, reasons, problems. A feature's own types are in its package."""

from typing import Annotated, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from livegift.contract.bounds import NAME_LENGTH_MAX, PAGE_ITEMS_MAX, TEXT_PATTERN, WHY_LENGTH_MAX
from livegift.contract.values import Coins

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, pattern=TEXT_PATTERN)]
Why = Annotated[
    str, Meta(min_length=1, max_length=WHY_LENGTH_MAX, pattern=TEXT_PATTERN, description="the reason, for the record")
]
Price = Annotated[int, Meta(ge=1, le=10**9)]
Currency = Annotated[str, Meta(description="ISO 4217, in capitals")]
MinorUnits = Annotated[int, Meta(description="money in minor units of its currency, such as cents")]
Micros = Annotated[int, Meta(description="money in millionths of a unit of its currency")]
# An empty one is the first page's.
Cursor = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{0,64}$(?!\n)", description="the next_cursor of a page before")]
# The digits of a bigint.
NumberCursor = Annotated[str, Meta(pattern=r"^[0-9]{0,18}$(?!\n)", description="the next_cursor of a page before")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX, description=f"1 to {PAGE_ITEMS_MAX} items")]
T = TypeVar("T")


class PageQuery(Struct, frozen=True):
    """The page of a list."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_ITEMS_MAX


class NumberPageQuery(Struct, frozen=True):
    """The page of a list whose items are numbered."""

    cursor: NumberCursor | None = None
    limit: Limit = PAGE_ITEMS_MAX


class Page(Struct, Generic[T], frozen=True):
    """A page of a list. The next items begin at `cursor=next_cursor`, null when there are no more."""

    items: list[T]
    next_cursor: Annotated[str, Meta(description="null on the last page")] | None


class RegionQuery(Struct, frozen=True):
    """The region whose prices are requested; one without prices of its own has another's."""

    region: Annotated[str, Meta(description="a country (ISO 3166, alpha-2) or another name of a region")] | None = None


class WhyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An operator's reason."""

    why: Why


class CapsView(Struct, frozen=True):
    """The most coins that can be spent; null means no limit."""

    per_gift: Annotated[Coins, Meta(description="coins of one send; null: no limit")] | None
    day: Annotated[Coins, Meta(description="coins in a day; null: no limit")] | None
    month: Annotated[Coins, Meta(description="coins in a month; null: no limit")] | None


class Problem(Struct, frozen=True):
    """An error (RFC 9457). Decide by `code`. `retryable`: the same request can be sent again unchanged."""

    type: Annotated[str, Meta(description="`urn:livegift:error:` and the code")]
    title: Annotated[str, Meta(description="a sentence for people: what the code means")]
    status: Annotated[int, Meta(description="the HTTP status")]
    code: Annotated[str, Meta(description="a code of the error table: decide by it")]
    detail: Annotated[str, Meta(description="what is wrong with this request")]
    retryable: Annotated[bool, Meta(description="the same request may be sent again unchanged")]
    retry_after_ms: Annotated[int, Meta(description="how long to wait before sending it again")] | UnsetType = UNSET
