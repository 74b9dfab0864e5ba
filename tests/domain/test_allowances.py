"""Limits: lowering counts at once, raising waits, days never go back, the operator's and one's own both count."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.allowances import (
    NO_USAGE,
    Caps,
    Exceeded,
    Policy,
    SpendingLimits,
    Usage,
    change,
    exceeded,
    in_force,
    reminders,
    spent,
    usage_at,
)
from livegift.domain.regions import REGIONS, may_give, region_of, windows

CAP = st.none() | st.integers(0, 1_000)
CAPS = st.builds(Caps, CAP, CAP, CAP)
DELAY_MS = 1_000


def at_most(cap: int | None, other: int | None) -> bool:
    return other is None or (cap is not None and cap <= other)


@given(st.lists(st.tuples(CAPS, st.integers(0, 600)), min_size=1, max_size=8))
def test_nothing_is_raised_before_its_time(asked: list[tuple[Caps, int]]) -> None:
    limits, now_ms = SpendingLimits(), 0
    for wanted, pause_ms in asked:
        now_ms += pause_ms
        before = in_force(limits, now_ms)
        limits = change(limits, wanted, now_ms, DELAY_MS)
        now = in_force(limits, now_ms)
        for kind in Caps._fields:
            assert at_most(getattr(now, kind), getattr(before, kind)), "never more than before"
            assert at_most(getattr(now, kind), getattr(wanted, kind)), "what is lower counts at once"
        assert in_force(limits, now_ms + DELAY_MS) == wanted, "in the end it is what was asked for last"
    assert limits.version == len(asked)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.sampled_from((20261129, 20261130, 20261201))), max_size=20), CAPS, CAPS
)
def test_no_day_and_no_month_goes_beyond_its_limit(gifts: list[tuple[int, int]], own: Caps, operators: Caps) -> None:
    usage, by_day, by_month = NO_USAGE, dict[int, int](), dict[int, int]()
    for coins, day in gifts:
        policy = Policy(day, operators)
        now = usage_at(usage, policy, 0)
        assert now.day == max(usage.day, day), "a day never goes back"
        if exceeded(own, policy, now, coins) is not None:
            continue
        usage = spent(now, coins)
        by_day[now.day] = by_day.get(now.day, 0) + coins
        by_month[now.day // 100] = by_month.get(now.day // 100, 0) + coins
        for caps in (own, operators):
            assert caps.per_gift is None or coins <= caps.per_gift
    for caps in (own, operators):
        assert caps.day is None or all(sum_ <= caps.day for sum_ in by_day.values())
        assert caps.month is None or all(sum_ <= caps.month for sum_ in by_month.values())


def test_the_answer_names_the_limit_that_counts() -> None:
    usage = Usage(20261123, 70, 90)
    policy = Policy(20261123, Caps(50, 100, 1_000))
    assert exceeded(Caps(), policy, usage, 51) == Exceeded("per_gift", "operator", 50, 0)
    assert exceeded(Caps(50, 100), policy, usage, 31) == Exceeded("day", "own", 100, 70)
    assert exceeded(Caps(None, None, 100), policy, usage, 11) == Exceeded("month", "own", 100, 90)
    assert exceeded(Caps(), policy, usage, 30) is None


def test_reminders_come_once_and_the_highest_alone() -> None:
    policy = Policy(20261123, Caps(None, 100, None))
    said, usage = [], NO_USAGE
    for coins in (49, 1, 29, 1, 1, 19):
        before = usage_at(usage, policy, 0)
        usage = spent(before, coins)
        said += [(r.kind, r.percent, r.used) for r in reminders(Caps(), policy, before, usage)]
    assert said == [("day", 50, 50), ("day", 80, 80), ("day", 100, 100)]
    at_once = spent(usage_at(NO_USAGE, policy, 0), 100)
    assert [r.percent for r in reminders(Caps(), policy, NO_USAGE, at_once)] == [100]


def test_regions() -> None:
    assert [region_of(c).id for c in ("DE", "de", "GB", "US", "KR", "CN", "BR", None, "x")] == [
        "eu", "eu", "uk", "us", "kr", "cn", "default", "default", "default",
    ]  # fmt: skip
    assert not may_give(REGIONS["us"], None, age_verified=False)
    assert may_give(REGIONS["us"], None, age_verified=True)
    assert [may_give(REGIONS["kr"], age, age_verified=True) for age in (13, 14, 19)] == [False, True, True]
    assert not may_give(REGIONS["cn"], 17, age_verified=True)


def test_days_and_months_begin_where_the_viewer_is() -> None:
    berlin = datetime(2026, 10, 25, 23, 30, tzinfo=ZoneInfo("Europe/Brussels"))  # the day has 25 hours
    found = windows(REGIONS["eu"], int(berlin.timestamp() * 1000))
    assert found.policy.day == 20261025
    assert found.day_ends_ms - berlin.timestamp() * 1000 == 30 * 60_000
    assert datetime.fromtimestamp(found.month_ends_ms / 1000, ZoneInfo("Europe/Brussels")).day == 1
    morning = datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo("Europe/Brussels"))
    early = windows(REGIONS["eu"], int(morning.timestamp() * 1000))
    assert early.day_ends_ms == found.day_ends_ms
    seoul = windows(REGIONS["kr"], int(berlin.timestamp() * 1000), age=15)
    assert (seoul.policy.day, seoul.policy.caps) == (20261026, Caps(1_000, 2_000, 10_000))
