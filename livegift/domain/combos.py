"""Streaks: gifts of one kind that follow each other within a time-out count as one, with one end."""

from dataclasses import dataclass, replace
from typing import NamedTuple


class StreakKey(NamedTuple):
    """What makes two gifts belong to the same streak. Anonymous gifts never join a named streak."""

    user: str
    room: str
    gift_id: str
    to: str
    anonymous: bool

    @property
    def text(self) -> str:
        """Its key as one line. Users' ids may contain '|', which is written as '!' there; no id contains '!'."""
        to, user = self.to.replace("|", "!"), self.user.replace("|", "!")
        return f"{self.room}|{self.gift_id}|{to}|{int(self.anonymous)}|{user}"


@dataclass(frozen=True, slots=True)
class Streak:
    """An open streak. It is over once the time reaches `deadline_ms`."""

    combo_id: str
    repeat_count: int
    deadline_ms: int

    def expired(self, now_ms: int) -> bool:
        """Whether a gift at `now_ms` comes too late for it."""
        return now_ms >= self.deadline_ms


def extend(streak: Streak | None, event_id: str, count: int, now_ms: int, timeout_ms: int) -> Streak:
    """The streak after another send of `count` gifts; `event_id` names it when it is new."""
    deadline_ms = now_ms + timeout_ms
    if streak is None:
        return Streak(event_id, count, deadline_ms)
    return replace(streak, repeat_count=streak.repeat_count + count, deadline_ms=deadline_ms)


def less(streak: Streak, combo_id: str, count: int) -> Streak:
    """Return the streak without `count` revoked gifts of the streak `combo_id`; any other streak is unchanged."""
    if streak.combo_id != combo_id:
        return streak
    return replace(streak, repeat_count=max(streak.repeat_count - count, 0))
