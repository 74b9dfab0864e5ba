"""What the senders of a drill saw: counts over time, latencies, and what the repeated refs told."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from loadtests.clients.senders import ACCEPTED, DUPLICATE
from loadtests.harness.measure import percentiles


def everybody(_: int) -> bool:
    """Pick all senders."""
    return True


class Trace:
    """One run of clients/senders.py. Times are monotonic; `who` picks senders by their number."""

    def __init__(self, found: dict[str, Any]) -> None:
        """`found` is what the client wrote."""
        self.users: int = found["users"]
        self.meant_at: list[float] = found["meant_at"]
        self.answered_at: list[float] = found["answered_at"]
        self.outcome: list[str] = found["outcome"]
        self.again: dict[int, str] = {int(number): outcome for number, outcome in found["again"].items()}
        self.unsettled: int = found["unsettled"]
        self.reconnects: int = found["reconnects"]
        self.revoked_at: list[float] = found["revoked_at"]
        self.credited: list[list[tuple[float, int]]] = found["credited"]

    def numbers(self, begin: float, end: float, who: Callable[[int], bool] = everybody) -> list[int]:
        """The gifts that were meant to be sent in an interval."""
        return [n for n, at in enumerate(self.meant_at) if begin <= at < end and who(n % self.users)]

    def latency(self, begin: float, end: float, who: Callable[[int], bool] = everybody) -> dict[str, float]:
        """Percentiles in ms of the accepted gifts of an interval; empty when there are fewer than two."""
        took = [
            (self.answered_at[n] - self.meant_at[n]) * 1000
            for n in self.numbers(begin, end, who)
            if self.outcome[n] == ACCEPTED
        ]
        return percentiles(took) if len(took) > 1 else {}

    def counts(self, begin: float, end: float, who: Callable[[int], bool] = everybody) -> Counter[str]:
        """How the gifts of an interval were answered, whenever that was."""
        return Counter(self.outcome[n] for n in self.numbers(begin, end, who))

    def timeline(
        self, begin: float, end: float, step_s: float, zero: float, who: Callable[[int], bool] = everybody
    ) -> list[dict[str, object]]:
        """Answers by kind per step, by when they came; `t` in seconds from `zero`."""
        steps = [Counter[str]() for _ in range(round((end - begin) / step_s))]
        for n, at in enumerate(self.answered_at):
            index = int((at - begin) / step_s)
            if 0 <= index < len(steps) and at >= begin and who(n % self.users):
                steps[index][self.outcome[n]] += 1
        return [{"t": round(begin - zero + i * step_s, 3), **counts} for i, counts in enumerate(steps)]

    def first_accepted(self, after: float, who: Callable[[int], bool] = everybody) -> float | None:
        """When the first `accepted` came for a gift that was sent after a moment."""
        times = [self.answered_at[n] for n in self.numbers(after, float("inf"), who) if self.outcome[n] == ACCEPTED]
        return min(times, default=None)

    def all_accepted(self, after: float, who: Callable[[int], bool] = everybody) -> float | None:
        """When the last gift was meant that was not accepted, after a moment: from then on all is well."""
        times = [self.meant_at[n] for n in self.numbers(after, float("inf"), who) if self.outcome[n] != ACCEPTED]
        return max(times, default=None)

    def fates(self) -> dict[str, int]:
        """What the repeats told of the refs, by what had been answered first."""
        known = {ACCEPTED, DUPLICATE}
        told = Counter((self.outcome[n] in known, again) for n, again in self.again.items())
        return {
            "sent": len(self.outcome),
            "answered_accepted": sum(outcome in known for outcome in self.outcome),
            "lost_although_accepted": told[True, ACCEPTED],
            "still_there": told[True, DUPLICATE],
            "unclear_then_found_charged": told[False, DUPLICATE],
            "unclear_then_charged_by_the_repeat": told[False, ACCEPTED],
            "unsettled": self.unsettled,
        }

    def gifts_in_the_end(self) -> int:
        """How many gifts there must be: one for each ref that was answered `accepted` or `duplicate` at last."""
        final = {ACCEPTED, DUPLICATE}
        return sum(self.again.get(n, outcome) in final for n, outcome in enumerate(self.outcome))

    def credited_ms(self) -> list[float]:
        """From `accepted` to booked, for each gift. Good only if every creator has one sender, of one partition."""
        found = []
        for creator, credited in enumerate(self.credited):
            own = [n for n, o in enumerate(self.outcome) if n % self.users == creator and o == ACCEPTED]
            answered = sorted(self.answered_at[n] for n in own)
            done = 0
            for at, balance in credited:
                found += [(at - answered[i]) * 1000 for i in range(done, min(balance, len(answered)))]
                done = max(done, min(balance, len(answered)))
        return found
