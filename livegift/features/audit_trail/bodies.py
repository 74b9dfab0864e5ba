"""The requests and responses of the audit trail's routes."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from livegift.contract.bounds import SUBJECT_LENGTH_MAX, TEXT_PATTERN
from livegift.contract.http import NumberPageQuery, Page
from livegift.contract.values import TimeMs

Subject = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=SUBJECT_LENGTH_MAX,
        pattern=TEXT_PATTERN,
        description=f"1 to {SUBJECT_LENGTH_MAX} characters such as user:ann",
    ),
]


class ActsQuery(NumberPageQuery, frozen=True):
    """A page of the acts, on one `subject` or on all."""

    subject: Subject | None = None


class ActView(Struct, frozen=True):
    """`actor` did `act` (such as `order.refund`) to `subject` (such as `order:ord-1`)."""

    id: str
    actor: str
    act: str
    subject: str
    details: dict[str, Any]
    ts_ms: TimeMs


class ActPage(Page[ActView], frozen=True):
    """Operators' acts, newest first."""
