"""Currencies as data: decimals, approximate value, price steps, minimum card payment.

Decimals are those of ISO 4217. Rates are approximate (November 2026), good enough to tell a small purchase from a large
one and to stay above a provider's minimum charge; money is never converted by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from livegift.contract.errors import LivegiftError

MICROS = 1_000_000
USD_MICROS_PER_CENT = 10_000
# Stripe's minimum is half a US dollar, in the currency that a merchant is paid out in, at its own rates of the day.
# With this as our minimum, a charge in another currency stays above it.
_LEAST_USD_MICROS = 575_000


class CurrencyError(LivegiftError):
    """An unknown currency, or an amount that can't be charged in it. The message says what can."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217.

    `usd_micros` is the approximate value of one unit, in millionths of a US dollar. Amounts are in minor units
    everywhere: an amount that is charged is a multiple of `charge_step`, a price that looks right one of `price_step`.
    `stripe_digits` is the number of decimals in Stripe's amounts, which differs from ISO's for some currencies.
    """

    code: str
    minor_digits: int
    usd_micros: int
    charge_step: int
    price_step: int
    stripe_digits: int
    stripe_step: int


_TWO = """
AED 272300 AFN 14200 ALL 11900 AMD 2600 ANG 558700 AOA 1090 ARS 690 AUD 655000 AWG 558700 AZN 588200 BAM 594000
BBD 500000 BDT 8200 BGN 594000 BMD 1000000 BND 775000 BOB 144700 BRL 185000 BSD 1000000 BWP 74000 BYN 305000 BZD 497000
CAD 715000 CDF 400 CHF 1250000 CNY 140500 COP 250 CRC 1980 CUP 41700 CVE 10500 CZK 48000 DKK 155700 DOP 15800 DZD 7700
EGP 20800 ERN 66700 ETB 6600 EUR 1162000 FJD 440000 FKP 1320000 GBP 1320000 GEL 369000 GHS 90000 GIP 1320000 GMD 13700
GTQ 130500 GYD 4780 HKD 128500 HNL 38000 HTG 7640 HUF 3000 IDR 60 ILS 305000 INR 11250 IRR 24 JMD 6230 KES 7740
KGS 11430 KHR 250 KPW 1110 KYD 1200000 KZT 1900 LAK 46 LBP 11 LKR 3270 LRD 5560 LSL 58000 MAD 108000 MDL 59000 MGA 220
MKD 18900 MMK 476 MNT 279 MOP 124800 MRU 25100 MUR 21900 MVR 64900 MWK 577 MXN 54400 MYR 241000 MZN 15600 NAD 58000
NGN 690 NIO 27200 NOK 99000 NPR 7030 NZD 570000 PAB 1000000 PEN 296000 PGK 236000 PHP 17000 PKR 3560 PLN 274000
QAR 274700 RON 228500 RSD 9920 RUB 12300 SAR 266600 SBD 121000 SCR 72000 SDG 1660 SEK 105500 SGD 768000 SHP 1320000
SLE 43000 SOS 1750 SRD 25900 SSP 215 STN 47400 SVC 114300 SYP 90 SZL 58000 THB 30900 TJS 108000 TMT 285700 TOP 420000
TRY 23700 TTD 147500 TWD 32000 TZS 407 UAH 23800 USD 1000000 UYU 25100 UZS 83 VES 4100 WST 358000 XCD 370400 XCG 558700
YER 4190 ZAR 58000 ZMW 44000 ZWG 37900
"""
_NONE = """
BIF 339 CLP 1060 DJF 5620 GNF 115 ISK 7900 JPY 6450 KMF 2360 KRW 685 PYG 141 RWF 688 UGX 277 VND 38 VUV 8200 XAF 1770
XOF 1770 XPF 9740
"""
_THREE = "BHD 2652500 IQD 763 JOD 1410400 KWD 3258000 LYD 183000 OMR 2600800 TND 340000"

# Currencies without small coins in use: prices are multiples of one unit, or of more.
_PRICE_STEPS = {
    **dict.fromkeys(("HUF", "TWD", "IDR", "COP", "MGA", "INR", "RUB", "CZK", "KZT", "PKR", "LKR", "NGN"), 100),
    **dict.fromkeys(("ARS", "CRC", "KES", "TZS", "UZS", "MMK", "KHR", "LAK", "MNT", "LBP", "THB", "PHP"), 100),
    **dict.fromkeys(("KRW", "CLP", "XAF", "XOF", "XPF", "UGX"), 10),
    "VND": 100,
}
# Currencies whose decimals at Stripe differ from ISO 4217 (its page on currencies, "special cases" and the list of
# zero-decimal ones): ISK and UGX have two decimals that are 0, MGA has none.
_STRIPE_DIGITS = {"ISK": 2, "UGX": 2, "MGA": 0}
# Stripe's table of minimum charges, in ISO's minor units: the rows above about half a US dollar's worth, and those of
# currencies that merchants are paid in.
_STRIPE_LEAST = {
    "USD": 50, "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1_500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "HUF": 17_500, "INR": 50, "JPY": 50, "MXN": 1_000, "MYR": 200, "NOK": 300, "NZD": 50,
    "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1_000,
}  # fmt: skip


def _ten(power: int) -> int:
    return int(10 ** max(0, power))


def _rows(text: str, minor_digits: int) -> list[Currency]:
    words = text.split()
    found = []
    for code, micros in zip(words[::2], words[1::2], strict=True):
        stripe_digits = _STRIPE_DIGITS.get(code, minor_digits)
        # The last of three decimals has to be 0, and so has a decimal that Stripe lacks.
        charge_step = 10 if minor_digits == 3 else _ten(minor_digits - stripe_digits)  # noqa: PLR2004
        step = max(charge_step, _PRICE_STEPS.get(code, 1))
        stripe_step = _ten(stripe_digits - minor_digits)
        found.append(Currency(code, minor_digits, int(micros), charge_step, step, stripe_digits, stripe_step))
    return found


CURRENCIES: Mapping[str, Currency] = {
    found.code: found for found in (*_rows(_TWO, 2), *_rows(_NONE, 0), *_rows(_THREE, 3))
}


def currency_of(code: str) -> Currency:
    """Return the currency with a code. Raises CurrencyError."""
    found = CURRENCIES.get(code)
    if found is None:
        raise CurrencyError(f"expected the code of a currency of ISO 4217, such as USD, got {code[:8]!r}")
    return found


def minor_digits(code: str) -> int:
    """Return how many decimals an amount has; two for an unknown currency."""
    found = CURRENCIES.get(code)
    return 2 if found is None else found.minor_digits


def check_price(amount: int, code: str) -> None:
    """Raise CurrencyError for a price (in minor units) that can't be charged."""
    step = currency_of(code).charge_step
    if amount % step:
        raise CurrencyError(f"{code}: expected a multiple of {step} minor units, got {amount}: others can't be charged")


def round_up(amount: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `amount`."""
    return -(-amount // step) * step


def micros_of(amount: int, code: str) -> int:
    """Return `amount` minor units in millionths of the currency's unit."""
    return amount * MICROS // _ten(minor_digits(code))


def usd_micros_of(amount: int, code: str, usd_micros_per_unit: Mapping[str, int]) -> int:
    """Return the approximate value of `amount` minor units, in millionths of a US dollar, rounded down.

    `usd_micros_per_unit` (an operator's rates) takes precedence over the table. Raises CurrencyError.
    """
    rate = MICROS if code == "USD" else usd_micros_per_unit.get(code) or currency_of(code).usd_micros
    return amount * rate // _ten(minor_digits(code))


def amount_of_usd(usd_micros: int, code: str) -> int:
    """Return the approximate value of `usd_micros` in minor units of the currency, rounded up. Raises CurrencyError."""
    found = currency_of(code)
    return -(-usd_micros * _ten(found.minor_digits) // found.usd_micros)


def charge_amount_min(code: str) -> int:
    """Return the minimum card payment in minor units, with two significant digits. Raises CurrencyError."""
    found = currency_of(code)
    if code == "USD":
        return _STRIPE_LEAST[code]
    least = max(_STRIPE_LEAST.get(code, 0), amount_of_usd(_LEAST_USD_MICROS, code))
    return round_up(least, max(found.price_step, 10 ** max(0, len(str(least)) - 2)))


def to_stripe(amount: int, code: str) -> int:
    """Return `amount` minor units as Stripe counts them. Raises CurrencyError for an amount that can't be charged."""
    check_price(amount, code)
    found = currency_of(code)
    return amount * found.stripe_step // _ten(found.minor_digits - found.stripe_digits)


def from_stripe(amount: int, code: str) -> int:
    """Return an amount of Stripe's in minor units. Raises CurrencyError when it is not a whole number of them."""
    found = currency_of(code)
    whole, rest = divmod(amount * _ten(found.minor_digits - found.stripe_digits), found.stripe_step)
    if rest:
        raise CurrencyError(f"{code}: expected a multiple of {found.stripe_step} of Stripe, got {amount}")
    return whole


def shown(amount: int, code: str) -> str:
    """Format an amount for people: 999 becomes '9.99 USD', 13900 becomes '13,900 KRW'."""
    digits = minor_digits(code)
    units, rest = divmod(abs(amount), _ten(digits))
    sign = "-" if amount < 0 else ""
    return f"{sign}{units:,}" + (f".{rest:0{digits}}" if digits else "") + f" {code}"
