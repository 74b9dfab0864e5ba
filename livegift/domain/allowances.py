"""Spending limits: what a viewer has set, what the operator sets for everybody, and how much of it is used.

Lowering counts at once; raising or removing waits. A day is a number such as 20261123, in the time zone of the viewer's
region; it never goes back, so a viewer who changes the region gains nothing. The same rules are in limits.lua.
"""

from typing import Literal, NamedTuple

Kind = Literal["per_gift", "day", "month"]
Whose = Literal["own", "operator"]
MINUTE_MS = 60_000
REMIND_AT_PERCENT = (50, 80, 100)


class Caps(NamedTuple):
    """At most so many coins for one send, a day, a month; None: no limit."""

    per_gift: int | None = None
    day: int | None = None
    month: int | None = None


class Policy(NamedTuple):
    """What the operator says for a viewer now. A `day` of 0: nothing is counted or limited."""

    day: int = 0
    caps: Caps = Caps()
    gifts_per_minute: int | None = None


class Limits(NamedTuple):
    """What a viewer has set. `pending` replaces `own` from `pending_ms` on (0: nothing is pending)."""

    version: int = 0
    own: Caps = Caps()
    pending_ms: int = 0
    pending: Caps = Caps()


class Usage(NamedTuple):
    """Coins spent on the day and in its month; gifts sent in a minute (since the epoch)."""

    day: int = 0
    day_coins: int = 0
    month_coins: int = 0
    minute: int = 0
    minute_gifts: int = 0


NO_CAPS, NO_POLICY, NO_LIMITS, NO_USAGE = Caps(), Policy(), Limits(), Usage()


class Exceeded(NamedTuple):
    """Which limit a gift would have exceeded: `used` of `allowed` coins, before the gift."""

    kind: Kind
    whose: Whose
    allowed: int
    used: int


class Reminder(NamedTuple):
    """A threshold that a gift has reached."""

    kind: Kind
    percent: int
    allowed: int
    used: int


def in_force(limits: Limits, now_ms: int) -> Caps:
    """What the viewer's own limits are at a time."""
    return limits.pending if limits.pending_ms and now_ms >= limits.pending_ms else limits.own


def _lower(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def change(limits: Limits, wanted: Caps, now_ms: int, delay_ms: int) -> Limits:
    """The limits after the viewer has asked for `wanted`: what is lower counts now, the rest after `delay_ms`."""
    before = in_force(limits, now_ms)
    now = Caps(*(_lower(a, b) for a, b in zip(before, wanted, strict=True)))
    if now == wanted:
        return Limits(limits.version + 1, now)
    return Limits(limits.version + 1, now, now_ms + delay_ms, wanted)


def usage_at(usage: Usage, policy: Policy, now_ms: int) -> Usage:
    """The usage with what is over forgotten."""
    day, minute = max(usage.day, policy.day), now_ms // MINUTE_MS
    return Usage(
        day,
        usage.day_coins if day == usage.day else 0,
        usage.month_coins if day // 100 == usage.day // 100 else 0,
        minute,
        usage.minute_gifts if minute == usage.minute else 0,
    )


def _cap(own: int | None, operators: int | None) -> tuple[int | None, Whose]:
    """The lower one; the viewer's own where they are the same."""
    if own is None or (operators is not None and operators < own):
        return operators, "operator"
    return own, "own"


def exceeded(own: Caps, policy: Policy, usage: Usage, coins: int) -> Exceeded | None:
    """The first limit that a gift of `coins` would exceed, None when it may pass. `usage` is of now."""
    for kind, used in (("per_gift", 0), ("day", usage.day_coins), ("month", usage.month_coins)):
        allowed, whose = _cap(getattr(own, kind), getattr(policy.caps, kind))
        if allowed is not None and used + coins > allowed:
            return Exceeded(kind, whose, allowed, used)  # type: ignore[arg-type]
    return None


def spent(usage: Usage, coins: int) -> Usage:
    """The usage after a gift."""
    return usage._replace(
        day_coins=usage.day_coins + coins,
        month_coins=usage.month_coins + coins,
        minute_gifts=usage.minute_gifts + 1,
    )


def reminders(own: Caps, policy: Policy, before: Usage, after: Usage) -> list[Reminder]:
    """The highest threshold of each limit that was reached between two usages of the same day."""
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
