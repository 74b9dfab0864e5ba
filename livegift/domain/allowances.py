"""Spending limits: the viewer's own, the operator's, and how much of them is used.

A lower limit counts at once; raising or removing one waits. A day is a number such as 20261123, in the time zone of
the viewer's region. It never goes back, so a viewer gains nothing by changing the region. limits.lua has the same
rules.
"""

from typing import Literal, NamedTuple

Kind = Literal["per_gift", "day", "month"]
Whose = Literal["own", "operator"]
MINUTE_MS = 60_000
REMIND_AT_PERCENT = (50, 80, 100)


class Caps(NamedTuple):
    """The most coins that one send, a day and a month may cost. None means no limit."""

    per_gift: int | None = None
    day: int | None = None
    month: int | None = None


class Policy(NamedTuple):
    """The operator's limits for a viewer today. With a `day` of 0, nothing is counted or limited."""

    day: int = 0
    caps: Caps = Caps()
    gifts_per_minute: int | None = None


class SpendingLimits(NamedTuple):
    """The limits a viewer has set. `pending` replaces `own` from `pending_ms` on (0: nothing is pending)."""

    version: int = 0
    own: Caps = Caps()
    pending_ms: int = 0
    pending: Caps = Caps()


class Usage(NamedTuple):
    """The coins spent on `day` and in its month, and the gifts sent in `minute` (minutes since the epoch)."""

    day: int = 0
    day_coins: int = 0
    month_coins: int = 0
    minute: int = 0
    minute_gifts: int = 0


NO_CAPS, NO_POLICY, NO_LIMITS, NO_USAGE = Caps(), Policy(), SpendingLimits(), Usage()


class Exceeded(NamedTuple):
    """The limit that a gift would have exceeded: before the gift, `used` of `allowed` coins were spent."""

    kind: Kind
    whose: Whose
    allowed: int
    used: int


class Reminder(NamedTuple):
    """A threshold in percent of a limit, reached by a gift."""

    kind: Kind
    percent: int
    allowed: int
    used: int


def in_force(limits: SpendingLimits, now_ms: int) -> Caps:
    """Return the viewer's own limits in force at `now_ms`."""
    return limits.pending if limits.pending_ms and now_ms >= limits.pending_ms else limits.own


def _lower(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def change(limits: SpendingLimits, wanted: Caps, now_ms: int, delay_ms: int) -> SpendingLimits:
    """Return the limits after a viewer has asked for `wanted`: lower ones count now, the rest after `delay_ms`."""
    before = in_force(limits, now_ms)
    now = Caps(*(_lower(a, b) for a, b in zip(before, wanted, strict=True)))
    if now == wanted:
        return SpendingLimits(limits.version + 1, now)
    return SpendingLimits(limits.version + 1, now, now_ms + delay_ms, wanted)


def usage_at(usage: Usage, policy: Policy, now_ms: int) -> Usage:
    """Return the usage as of `now_ms`: counters of a past day, month or minute are reset to 0.

    Gifts of a minute are counted only while the policy limits them.
    """
    day, minute = max(usage.day, policy.day), 0 if policy.gifts_per_minute is None else now_ms // MINUTE_MS
    return Usage(
        day,
        usage.day_coins if day == usage.day else 0,
        usage.month_coins if day // 100 == usage.day // 100 else 0,
        minute,
        usage.minute_gifts if minute and minute == usage.minute else 0,
    )


def _cap(own: int | None, operators: int | None) -> tuple[int | None, Whose]:
    """Return the lower cap and whose it is; the viewer's own when both are equal."""
    if own is None or (operators is not None and operators < own):
        return operators, "operator"
    return own, "own"


def exceeded(own: Caps, policy: Policy, usage: Usage, coins: int) -> Exceeded | None:
    """Return the first limit that a gift of `coins` would exceed, or None.

    `usage` must be as of now (see `usage_at`).
    """
    for kind, used in (("per_gift", 0), ("day", usage.day_coins), ("month", usage.month_coins)):
        allowed, whose = _cap(getattr(own, kind), getattr(policy.caps, kind))
        if allowed is not None and used + coins > allowed:
            return Exceeded(kind, whose, allowed, used)  # type: ignore[arg-type]
    return None


def spent(usage: Usage, coins: int) -> Usage:
    """Return the usage, which is as of now, after a gift of `coins`."""
    return usage._replace(
        day_coins=usage.day_coins + coins,
        month_coins=usage.month_coins + coins,
        minute_gifts=usage.minute_gifts + 1 if usage.minute else 0,
    )


def reminders(own: Caps, policy: Policy, before: Usage, after: Usage) -> list[Reminder]:
    """Return the highest threshold reached, for each limit, between two usages of the same day."""
    found = []
    for kind, was, used in (
        ("day", before.day_coins, after.day_coins),
        ("month", before.month_coins, after.month_coins),
    ):
        allowed, _ = _cap(getattr(own, kind), getattr(policy.caps, kind))
        if allowed is None:
            continue
        reached = [p for p in REMIND_AT_PERCENT if was * 100 < p * allowed <= used * 100]
        if reached:
            found.append(Reminder(kind, reached[-1], allowed, used))  # type: ignore[arg-type]
    return found
