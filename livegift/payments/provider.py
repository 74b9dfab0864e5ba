"""What livegift needs of a payment provider."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from livegift.domain.orders import EventKind, Payment
from livegift.errors import LivegiftError


class ProviderError(LivegiftError):
    """The provider did not answer, or not now. What was asked for can be asked for again: all of it is idempotent."""


class ProviderRefusedError(ProviderError):
    """The provider refused, and will refuse the same again: somebody has to decide what else is to be done.

    The message is shown to whoever asked; it names no internals.
    """


class BadSignatureError(LivegiftError):
    """A webhook that was not signed with one of our secrets, or too long ago. Names neither."""


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
    checkout (`session_ref`) or of its payment (`payment_ref`). `reversal_ref` names a dispute or a refund.
    """

    id: str
    kind: EventKind
    order_id: str | None
    payment_ref: str | None
    amount: int
    currency: str
    session_ref: str | None = None
    reversal_ref: str | None = None


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
        """Give the whole payment back, once however often it is asked for under this key: the order, and a round."""

    def payments(self, since_s: float) -> AsyncIterator[Payment]:
        """All payments that were begun since then and for which money has come."""
