"""The interface of payment providers."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from livegift.contract.errors import LivegiftError
from livegift.domain.payments import EventKind, Payment
from livegift.runtime.bounds import PAYMENT_AMOUNT_MAX, PAYMENT_NAME_PATTERN

_NAME = re.compile(PAYMENT_NAME_PATTERN)
_CURRENCY = re.compile(r"[A-Z]{3}\??|\?")


class ProviderError(LivegiftError):
    """The provider did not answer, or can't do it now. The request may be repeated: all of them are idempotent."""


class ProviderRefusedError(ProviderError):
    """The provider refused and will refuse the same again: a person has to decide what to do instead.

    The message is shown to the caller; it names no internals.
    """


class BadSignatureError(LivegiftError):
    """A webhook that was not signed with one of our secrets, or too long ago. The message names neither."""


def is_name(text: str) -> bool:
    """Return whether `text` can be a name given by a provider."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """A payment to be made. `base_url` is the public address of this server, without a trailing slash."""

    order_id: str
    user: str
    coins: int
    amount: int
    currency: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """The page where an order is paid. `ref` is the provider's name for it."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """A verified webhook. `id` is the same at each delivery; `amount` is the total paid or given back.

    The order is named by `order_id` (only where we have written it there ourselves), by the provider's name of its
    checkout (`session_ref`) or of its payment (`payment_ref`). `reversal_ref` names a dispute or a refund. The currency
    ends with `?` if the amount is not valid in it, so that it fits no order.
    """

    id: str
    kind: EventKind
    order_id: str | None
    payment_ref: str | None
    amount: int
    currency: str
    session_ref: str | None = None
    reversal_ref: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for values that the ledger can't keep, however well they are signed."""
        names = (self.id, self.order_id, self.payment_ref, self.session_ref, self.reversal_ref)
        if not all(name is None or is_name(name) for name in names):
            raise ValueError("expected names of 1 to 255 of A-Z a-z 0-9 . _ : -")
        if not 0 <= self.amount <= PAYMENT_AMOUNT_MAX:
            raise ValueError(f"expected an amount of 0 to {PAYMENT_AMOUNT_MAX} minor units")
        if not _CURRENCY.fullmatch(self.currency):
            raise ValueError("expected a currency of three capital letters")


class Provider(Protocol):
    """A payment provider. All methods but `parse` may raise ProviderError."""

    name: str

    def amount_min(self, currency: str) -> int:
        """Return the minimum payment in minor units."""

    async def checkout(self, request: CheckoutRequest) -> Checkout:
        """Create the checkout of an order, or return the existing one."""

    def parse(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent | None:
        """Verify a webhook and return its event, None for one of no interest.

        Raises BadSignatureError or RequestError('invalid').
        """

    async def refund(self, key: str, payment_ref: str | None, amount: int) -> None:
        """Refund the whole payment, once per key (the order and a round), however often it is called."""

    def payments(self, since_s: float) -> AsyncIterator[Payment]:
        """Yield all payments begun since `since_s` (seconds since the epoch) for which money was received."""
