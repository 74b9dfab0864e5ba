"""The requests and responses of the routes of corrections and undoing."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.http import Page, PageQuery, Why
from livegift.contract.values import Id, UserId
from livegift.features.corrections.rules import Status

Decision = Literal["approve", "reject"]


class CorrectionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A correction to request: coins that the wallet of `user` gets (below zero: gives), or a gift to revoke.

    The same `id` again is the same correction.
    """

    why: Why
    id: Id | None = None
    user: UserId | None = None
    coins: Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] | None = None
    gift_event_id: Id | None = None


class CorrectionsQuery(PageQuery, frozen=True):
    """A page of the corrections, of one `status` or of all."""

    status: Status | None = None


class CorrectionView(Struct, frozen=True):
    """A correction. A revoked gift returns `coins` to its sender and takes `diamonds` from its receiver."""

    id: Id
    status: Status
    user: UserId
    coins: int
    gift_event_id: Id | None
    diamonds: int
    why: str
    requested_by: str
    decided_by: str | None


class CorrectionPage(Page[CorrectionView], frozen=True):
    """Corrections, by id."""


class UndoneGift(Struct, frozen=True):
    """A gift that is being undone: its coins come back once the `status` is `applied`."""

    gift_event_id: Id
    status: Status
    coins: int
