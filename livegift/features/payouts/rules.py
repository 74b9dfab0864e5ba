"""The rules of payouts: the states of a payout, and the transfers on the way.

requested -> approved -> sent -> paid, or -> failed, which gives the diamonds back. Before it is sent it can be rejected
by an operator, or cancelled by the creator while nobody has decided. Requested diamonds are held at once.
"""

import unicodedata
from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

from livegift.contract.errors import RequestError
from livegift.domain.postings import DIAMOND, Transfer, diamonds_of, held_of

Status = Literal["requested", "approved", "sent", "paid", "rejected", "cancelled", "failed"]
Move = Literal["approve", "reject", "cancel", "send", "pay", "fail"]
CURRENCY = "USD"
MICROS_PER_CENT = 10_000

# Move -> (from where it leads, to where).
MOVES: dict[Move, tuple[frozenset[Status], Status]] = {
    "approve": (frozenset({"requested"}), "approved"),
    "reject": (frozenset({"requested", "approved"}), "rejected"),
    "cancel": (frozenset({"requested"}), "cancelled"),
    "send": (frozenset({"approved"}), "sent"),
    "pay": (frozenset({"sent"}), "paid"),
    "fail": (frozenset({"sent"}), "failed"),
}
# Those that have given the diamonds back.
RETURNED: frozenset[Status] = frozenset({"rejected", "cancelled", "failed"})


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout. `amount` is in cents."""

    id: str
    creator: str
    diamonds: int
    amount: int
    status: Status = "requested"


def payable(diamonds: int, usd_micros_per_diamond: int) -> tuple[int, int]:
    """Return how many of `diamonds` make whole cents, and the cents: the rest stays with the creator."""
    step = MICROS_PER_CENT // gcd(MICROS_PER_CENT, usd_micros_per_diamond)
    whole = diamonds - diamonds % step
    return whole, whole * usd_micros_per_diamond // MICROS_PER_CENT


def move(payout: Payout, by_move: Move) -> Payout:
    """Return the payout after a move; a move that was made already changes nothing.

    Raises RequestError('conflict') for one that is no longer or not yet possible.
    """
    allowed, after = MOVES[by_move]
    if payout.status == after:
        return payout
    if payout.status not in allowed:
        raise RequestError(
            "conflict", f"Payout {payout.id} is {payout.status}: it can't {by_move} any more, or not yet."
        )
    return replace(payout, status=after)


def transfers_of(payout: Payout) -> tuple[str, tuple[Transfer, ...]]:
    """Return the reason and the transfers of the status that a payout has just reached; none for approved and sent."""
    held, own = held_of(payout.creator), diamonds_of(payout.creator)
    if payout.status == "requested":
        return "payout.hold", (Transfer(DIAMOND, own, held, payout.diamonds),)
    if payout.status in RETURNED:
        return "payout.return", (Transfer(DIAMOND, held, own, payout.diamonds),)
    if payout.status == "paid":
        return "payout.paid", (
            Transfer(DIAMOND, held, "diamonds:redeemed", payout.diamonds),
            Transfer(CURRENCY, f"money:paid_out:{CURRENCY}", f"money:bank:{CURRENCY}", payout.amount),
        )
    return "", ()


@dataclass(frozen=True, slots=True)
class BankLine:
    """The bank's result for a payout."""

    payout_id: str
    paid: bool
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentInstruction:
    """An instruction to the bank: `amount` in minor units of `currency`."""

    payout_id: str
    holder: str
    iban: str
    amount: int
    currency: str


# --- Accounts at a bank -----------------------------------------------------------------------------------------------

_IBAN_CHECK, _IBAN_REMAINDER = 97, 1  # ISO 13616: mod 97 of ISO 7064
_IBAN_LENGTHS = range(15, 35)


def compact_iban(text: str) -> str:
    """Return an account number without the spaces (of any kind), hyphens and dots that group it."""
    return "".join(char for char in text if char.isalnum() or unicodedata.category(char)[0] not in "CPZ").upper()


def is_iban(text: str) -> bool:
    """Return whether `text` (without spaces, in capitals) is an IBAN with correct check digits (ISO 13616)."""
    if not (text.isascii() and text.isalnum() and len(text) in _IBAN_LENGTHS and text[:2].isalpha()):
        return False
    digits = "".join(str(int(character, 36)) for character in text[4:] + text[:4])
    return text.upper() == text and int(digits) % _IBAN_CHECK == _IBAN_REMAINDER


def masked(account: str) -> str:
    """Return an account number as it may be shown: the first and the last four characters."""
    return f"{account[:4]}…{account[-4:]}"
