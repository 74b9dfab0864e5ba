"""Rules that differ by region, as data: ages, caps, time zone, notices.

The figures are an operator's starting point, not legal advice. Where a figure comes from a rule, the rule is named;
the others are our own choice, on the careful side.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livegift.contract.errors import ConfigError
from livegift.domain.allowances import Caps, Policy

NO_MINORS = Caps(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Region:
    """The rules of a region.

    Gifts need a token with a verified age. If the token says the age, it must be at least `age_min`; below `age_adult`,
    `minor_caps` apply (in coins; a cap of None means no limit).
    """

    id: str
    time_zone: str
    age_min: int = 18
    age_adult: int = 18
    caps: Caps = field(default_factory=Caps)
    minor_caps: Caps = NO_MINORS
    cooling_off_h: int = 0
    withdrawal_notice: str = ""
    shows_ranks: bool = True
    undo_window_s: int = 0
    guardian_hold: bool = True


_EU_NOTICE = (
    "You ask for the coins at once. You agree that the right to withdraw within 14 days ends when they are supplied "
    "(Directive 2011/83/EU, article 16 m)."
)
_UK_NOTICE = (
    "You ask for the coins at once. You agree that the right to cancel within 14 days ends when they are supplied "
    "(Consumer Contracts Regulations 2013, regulation 37)."
)

REGIONS = {
    region.id: region
    for region in (
        Region("default", "UTC"),
        Region("eu", "Europe/Brussels", withdrawal_notice=_EU_NOTICE, undo_window_s=30),
        Region("uk", "Europe/London", withdrawal_notice=_UK_NOTICE, undo_window_s=30),
        Region("us", "America/New_York"),
        # Network Act of Korea: care with minors; platforms there let them spend little, with a guardian's consent.
        Region("kr", "Asia/Seoul", age_min=14, age_adult=19, minor_caps=Caps(1_000, 2_000, 10_000)),
        # National Radio and Television Administration, notice of November 2020: no gifts from minors, real names, caps
        # per gift, day and month, no ranks of givers.
        Region("cn", "Asia/Shanghai", caps=Caps(50_000, 100_000, 500_000), shows_ranks=False, cooling_off_h=24),
    )
}

_EU_COUNTRIES = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO"
_BY_COUNTRY = {
    **dict.fromkeys(_EU_COUNTRIES.split(), "eu"),
    "GB": "uk",
    "US": "us",
    "KR": "kr",
    "CN": "cn",
}


def region_of(country: str | None) -> Region:
    """Return the rules of a country (ISO 3166 alpha-2; None if it is unknown)."""
    return REGIONS[_BY_COUNTRY.get((country or "").upper(), "default")]


def require_time_zones() -> None:
    """Raise ConfigError if the machine lacks time-zone data, which limits need for their days."""
    for region in REGIONS.values():
        try:
            ZoneInfo(region.time_zone)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ConfigError(
                f"there is no data for time zone {region.time_zone} ({error}): install the Python package tzdata"
            ) from None


def may_give(region: Region, age: int | None, *, age_verified: bool) -> bool:
    """Return whether somebody is old enough to send gifts in the region."""
    return age_verified and (age is None or age >= region.age_min)


@dataclass(frozen=True, slots=True)
class Windows:
    """The operator's policy for today in a region, and when the day and the month end."""

    policy: Policy
    day_ends_ms: int
    month_ends_ms: int


def windows(region: Region, now_ms: int, age: int | None = None, gifts_per_minute: int | None = None) -> Windows:
    """Return the policy for a viewer of that age, which holds until the day ends."""
    zone = ZoneInfo(region.time_zone)
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # Not now + 24 hours: a day on which the clock is put back has 25.
    tomorrow = (midnight + timedelta(days=1)).replace(tzinfo=zone)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    is_minor = age is not None and age < region.age_adult
    day = now.year * 10_000 + now.month * 100 + now.day
    policy = Policy(day, region.minor_caps if is_minor else region.caps, gifts_per_minute)
    return Windows(policy, int(tomorrow.timestamp() * 1000), int(next_month.timestamp() * 1000))
