"""Amounts: integers with a ceiling that every system on the way can carry exactly."""

from livegift.errors import LivegiftError

# Lua numbers are doubles and print in exponent form from 1e14 on; the ceiling leaves room for the sum of two amounts.
AMOUNT_MAX = 10**13


class AmountError(LivegiftError):
    """An amount outside of 0..AMOUNT_MAX."""


def amount(value: int) -> int:
    """`value` itself when it is a valid amount of coins, diamonds or cents; else `AmountError`."""
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise AmountError(f"expected an amount from 0 to {AMOUNT_MAX}, got {value!r}")
    return value


# ISO 4217: currencies whose minor unit is not a hundredth.
_MINOR_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_digits(currency: str) -> int:
    """How many decimals an amount in `currency` has."""
    return _MINOR_DIGITS.get(currency, 2)
