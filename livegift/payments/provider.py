"""What livegift needs of a payment provider."""

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
    """The provider did not answer, or not now. What was asked for can be asked for again: all of it is idempotent."""


class ProviderRefusedError(ProviderError):
    """The provider refused, and will refuse the same again: somebody has to decide what to do instead.

    The message is shown to whoever asked; it names no internals.
    """


class BadSignatureError(LivegiftError):
    """A webhook that was not signed with one of our secrets, or too long ago. Names neither."""


def is_name(text: str) -> bool:
    """Whether it can be a name that a provider gives."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """What is to be paid. `base_url` is where people reach this server, without a slash at its end."""

    order_id: str
    user: str
    coins: int
    amount: int
    currency: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where to pay. `ref` is the provider's own name of it."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """A verified webhook. `id` is the same whenever it is delivered; `amount` is what was paid or given back in all.

    The order is named by `order_id` (only where we have written it there ourselves), by the provider's name of its
    checkout (`session_ref`) or of its payment (`payment_ref`). `reversal_ref` names a dispute or a refund. A currency
    ends with `?` where the amount is none of that currency, so that it fits no order.
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
        """Raise ValueError for what no ledger can keep, however well it is signed."""
        names = (self.id, self.order_id, self.payment_ref, self.session_ref, self.reversal_ref)
        if not all(name is None or is_name(name) for name in names):
            raise ValueError("expected names of 1 to 255 of A-Z a-z 0-9 . _ : -")
        if not 0 <= self.amount <= PAYMENT_AMOUNT_MAX:
            raise ValueError(f"expected an amount of 0 to {PAYMENT_AMOUNT_MAX} minor units")
        if not _CURRENCY.fullmatch(self.currency):
            raise ValueError("expected a currency of three capital letters")


class Provider(Protocol):
    """One provider. All methods but `parse` may raise ProviderError."""

    name: str

    def amount_min(self, currency: str) -> int:
        """The least amount, in minor units, that can be paid."""

    async def checkout(self, request: CheckoutRequest) -> Checkout:
        """Where the order can be paid: the same again for the same order."""

    def parse(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent | None:
        """The event of a webhook, None for one of no interest. Raises BadSignatureError or RequestError('invalid')."""

    async def refund(self, key: str, payment_ref: str | None, amount: int) -> None:
        """Refund the whole payment, once per key (the order and a round), however often it is called."""

    def payments(self, since_s: float) -> AsyncIterator[Payment]:
        """All payments that were begun since then and for which money has come."""
