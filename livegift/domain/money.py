"""Amounts: integers with a ceiling that every system on the way can carry exactly."""

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.errors import LivegiftError


class AmountError(LivegiftError):
    """An amount outside 0..AMOUNT_MAX."""


def amount(value: int) -> int:
    """Return `value` if it is a valid amount of coins, diamonds or cents. Raises AmountError."""
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise AmountError(f"expected an amount from 0 to {AMOUNT_MAX}, got {value!r}")
    return value
