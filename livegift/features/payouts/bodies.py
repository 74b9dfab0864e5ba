"""The requests and responses of the routes of payouts."""

from typing import Annotated

from msgspec import Meta, Struct

from livegift.contract.bounds import AMOUNT_MAX, HOLDER_LENGTH_MAX, HOLDER_PATTERN, IBAN_TEXT_LENGTH_MAX
from livegift.contract.http import Currency, MinorUnits, Page, PageQuery
from livegift.contract.values import Id, TimeMs, UserId
from livegift.features.payouts.rules import Status
from livegift.http.bodies import VisibleTexts

MaskedIban = Annotated[str, Meta(description="an IBAN of which only the ends are shown")]


class PayoutRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The diamonds to be paid out."""

    diamonds: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]


class PayoutsQuery(PageQuery, frozen=True):
    """A page of the payouts, of one `status` or of all."""

    status: Status | None = None


class PayoutView(Struct, frozen=True):
    """A payout. `why` says why it was rejected or has failed."""

    id: Id
    status: Status
    creator: UserId
    diamonds: int
    amount: MinorUnits
    currency: Currency
    holder: str
    iban: MaskedIban
    batch_id: Id | None
    why: str | None
    requested_ms: TimeMs
    ended_ms: TimeMs | None


class PayoutPage(Page[PayoutView], frozen=True):
    """Payouts, by id."""


class AccountRequest(VisibleTexts, frozen=True, forbid_unknown_fields=True):
    """The bank account for payouts. The holder begins with a letter, so spreadsheets don't take it for a formula."""

    holder: Annotated[str, Meta(min_length=1, max_length=HOLDER_LENGTH_MAX, pattern=HOLDER_PATTERN)]
    iban: Annotated[str, Meta(min_length=15, max_length=IBAN_TEXT_LENGTH_MAX)]


class AccountView(Struct, frozen=True):
    """The bank account for payouts."""

    holder: str
    iban: MaskedIban


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The id of the batch to make; the same id again is the same batch."""

    id: Id | None = None


class BatchView(Struct, frozen=True):
    """A batch: how many payouts, and their sum."""

    id: Id
    payouts: int
    amount: MinorUnits


class SettledBatch(Struct, frozen=True):
    """The result of a bank's file: how many payouts it has settled, and which of the batch are still open."""

    id: Id
    settled: int
    open: list[Id]


class HoldView(Struct, frozen=True):
    """A sender: the diamonds from their gifts are held, or not."""

    user: UserId
    held: bool
