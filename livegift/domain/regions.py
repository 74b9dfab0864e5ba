"""What differs from region to region, as data: ages, caps, time zone, notices.

The figures are an operator's starting point, not legal advice. Where a rule is somebody's, it is named; the rest is our
choice, on the careful side.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livegift.contract.errors import ConfigError
from livegift.domain.allowances import Caps, Policy

NO_MINORS = Caps(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Region:
    """The profile of a region.

    Gifts need a token with a verified age; where it tells the age itself, at least `age_min`, below `age_adult` under
    `minor_caps` (coins; None of them: none).
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
    """The profile of a country (ISO 3166, alpha-2; None: nobody has said)."""
    return REGIONS[_BY_COUNTRY.get((country or "").upper(), "default")]


def require_time_zones() -> None:
    """Raise ConfigError on a machine without time-zone data: limits need it for their days."""
    for region in REGIONS.values():
        try:
            ZoneInfo(region.time_zone)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ConfigError(
                f"there is no data for time zone {region.time_zone} ({error}): install the Python package tzdata"
            ) from None


def may_give(region: Region, age: int | None, *, age_verified: bool) -> bool:
    """Whether somebody is old enough to send gifts there."""
    return age_verified and (age is None or age >= region.age_min)


@dataclass(frozen=True, slots=True)
class Windows:
    """The day and month that it is in a region, and when they end."""

    policy: Policy
    day_ends_ms: int
    month_ends_ms: int


def windows(region: Region, now_ms: int, age: int | None = None, gifts_per_minute: int | None = None) -> Windows:
    """What the operator says for a viewer of that age now; good until the day ends."""
    zone = ZoneInfo(region.time_zone)
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # Not 24 hours: where the clock is put back a day has 25.
    tomorrow = (midnight + timedelta(days=1)).replace(tzinfo=zone)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    is_minor = age is not None and age < region.age_adult
    day = now.year * 10_000 + now.month * 100 + now.day
    policy = Policy(day, region.minor_caps if is_minor else region.caps, gifts_per_minute)
    return Windows(policy, int(tomorrow.timestamp() * 1000), int(next_month.timestamp() * 1000))
