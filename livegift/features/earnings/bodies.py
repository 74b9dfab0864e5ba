"""The requests and responses of the routes of earnings."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from livegift.contract.http import PageQuery
from livegift.contract.values import Id, TimeMs, UserId

Grouping = Literal["line", "day", "room"]
Day = Annotated[str, Meta(description="a day (UTC) such as 2026-01-31", extra_json_schema={"format": "date"})]


class EarningsView(Struct, frozen=True):
    """A creator's earnings. `diamonds_total` = pending + available + in payout; paid ones are not in it."""

    diamonds_total: int
    diamonds_pending: int
    diamonds_available: int
    diamonds_in_payout: int
    diamonds_paid: int
    next_available_ms: TimeMs | None


class StatementQuery(PageQuery, frozen=True, kw_only=True):
    """The days from `from` up to, not including, `to`; in lines, or their sums by day or room; as JSON or CSV."""

    from_: Day = field(name="from")
    to: Day
    group: Grouping = "line"
    format: Annotated[str, Meta(description="csv, as a header `Accept: text/csv` says too, or json")] | None = None


class LineView(Struct, frozen=True):
    """One transfer of the creator's account: a gift, what a sponsor added to one, or another reason."""

    key: str
    what: str
    ref: Annotated[str, Meta(description="what it belongs to: a gift's event, a payout, …")]
    diamonds: int
    batch_id: int | None
    room: Id | None
    gift_id: Id | None
    count: int | None
    coins: int | None
    sender: UserId | None
    at_ms: TimeMs


class GroupView(Struct, frozen=True):
    """The gifts of one day or room, or the other transfers of one reason and day."""

    day: str
    room: Id | None
    what: str
    lines: int
    coins: int
    diamonds: int


class Statement(Struct, frozen=True):
    """The part that all statements share. To a `closed` one nothing can be added any more."""

    from_: str = field(name="from")
    to: str
    closed: bool
    opening_diamonds: int
    closing_diamonds: int


class StatementLines(Statement, frozen=True):
    """A statement, line by line."""

    items: list[LineView]
    next_cursor: str | None


class StatementGroups(Statement, frozen=True):
    """A statement, summed up by day or room."""

    items: list[GroupView]
    next_cursor: None = None
