"""The requests and responses of rooms' routes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from livegift.contract.http import Page
from livegift.contract.values import Coins, Id, Title, UserId
from livegift.http.bodies import VisibleTexts
from livegift.ledger.rooms import Kind, Status


class RoomRequest(VisibleTexts, frozen=True, forbid_unknown_fields=True):
    """A room to open. Without an `id` it gets one."""

    title: Title
    id: Id | None = None
    kind: Kind = "live"


class RoomPatch(VisibleTexts, frozen=True, forbid_unknown_fields=True):
    """The changes to a room; `ended` is final."""

    status: Literal["ended"] | None = None
    title: Title | None = None


class CreatorView(Struct, frozen=True):
    """The creator of a room."""

    id: UserId
    name: str


class RoomView(Struct, frozen=True):
    """A room."""

    id: Id
    title: str
    kind: Kind
    status: Status
    creator: CreatorView


class RoomPage(Page[RoomView], frozen=True):
    """Rooms, by id."""


class TotalsView(Struct, frozen=True):
    """A room's sums; `gifts` counts sends."""

    gifts: int
    coins: Coins
    diamonds: int
    gifters: int


class RoomDetails(RoomView, frozen=True):
    """A room as it stands at its event `seq`."""

    seq: int
    totals: TotalsView


class BookedTotals(Struct, frozen=True):
    """Sums over the gifts of a room."""

    gifts: int
    coins: int
    diamonds: int


class RoomProof(Struct, frozen=True):
    """The audit of a room: what its viewers saw, compared with what is booked; `passed` without `violations`."""

    room: Id
    creator: UserId
    status: Status
    passed: bool
    violations: list[str]
    totals: BookedTotals
    booked_up_to: Annotated[dict[str, str], Meta(description="partition -> place in its journal")]
    gifters_compared: int
    diamonds_by_receiver: dict[str, int]
    revoked: BookedTotals
