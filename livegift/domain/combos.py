"""Streaks: gifts of one kind that follow each other within a time-out are shown as one."""

from dataclasses import dataclass, replace
from typing import NamedTuple


class StreakKey(NamedTuple):
    """The key of a streak: gifts with the same key can join it. Anonymous gifts never join a named streak."""

    user: str
    room: str
    gift_id: str
    to: str
    anonymous: bool

    @property
    def text(self) -> str:
        """Return the key as one line.

        Users' ids may contain '|', which is written as '!' here; no id contains '!'.
        """
        to, user = self.to.replace("|", "!"), self.user.replace("|", "!")
        return f"{self.room}|{self.gift_id}|{to}|{int(self.anonymous)}|{user}"


@dataclass(frozen=True, slots=True)
class Streak:
    """An open streak. It ends once the time reaches `deadline_ms`."""

    combo_id: str
    repeat_count: int
    deadline_ms: int

    def expired(self, now_ms: int) -> bool:
        """Return whether a gift at `now_ms` is too late to join."""
        return now_ms >= self.deadline_ms


def extend(streak: Streak | None, event_id: str, count: int, now_ms: int, timeout_ms: int) -> Streak:
    """Return the streak after another send of `count` gifts. `event_id` becomes the id of a new streak."""
    deadline_ms = now_ms + timeout_ms
    if streak is None:
        return Streak(event_id, count, deadline_ms)
    return replace(streak, repeat_count=streak.repeat_count + count, deadline_ms=deadline_ms)


def without_revoked(streak: Streak, combo_id: str, count: int) -> Streak:
    """Return the streak without `count` revoked gifts of streak `combo_id`; any other streak is returned unchanged."""
    if streak.combo_id != combo_id:
        return streak
    return replace(streak, repeat_count=max(streak.repeat_count - count, 0))
