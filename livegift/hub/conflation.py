"""Conflation: what a viewer is shown of a rush is every expensive gift, and as many others as the eye can follow.

Each kind of events declares its lane (`contract/event_kinds.py`). Always shown are events of the lane ALWAYS, those of
kinds that this version does not know, ends of streaks and gifts from a set value up; of the lane LATEST the last event
of each key. When there are more than the room's cap, ordinary gifts of one streak become one event, then the cheapest
are left out, and other events of the lane CONFLATED before them. What is left out is counted, and totals are exact in
every frame. Viewers are not events: their latest count comes with `room.pulse`.
"""

from collections.abc import Sequence
from heapq import nlargest
from typing import NamedTuple

from livegift.contract.event_kinds import EventKinds, Lane
from livegift.contract.events import GiftHead, gift_head, merged_gift
from livegift.contract.messages import Omitted
from livegift.runtime import metrics


class ConflatedEvents(NamedTuple):
    """The events of a frame, and what it leaves out."""

    events: Sequence[bytes]
    omitted: Omitted | None


class Conflation:
    """The cap of one room: a number of events a second, saved up for at most a second."""

    def __init__(self, events_per_s_max: int, always_shown_coins: int, kinds: EventKinds) -> None:
        """Set the cap. Gifts of `always_shown_coins` or more are always shown. `events_per_s_max` 0 means no cap."""
        self._per_s = events_per_s_max
        self._always_shown_coins = always_shown_coins
        self._kinds = kinds
        self._allowance = float(events_per_s_max)
        self._at_s = 0.0

    def cap(self, events: Sequence[bytes], now_s: float) -> ConflatedEvents:
        """Return the events that go out at `now_s` (seconds of a monotonic clock); the same object if it is all.

        Events that are always shown may exceed the cap; the excess is not taken from later frames.
        """
        if not self._per_s:
            return ConflatedEvents(events, None)
        self._allowance = min(self._allowance + (now_s - self._at_s) * self._per_s, self._per_s)
        self._at_s = now_s
        shown = (
            ConflatedEvents(events, None) if len(events) <= self._allowance else self._cut(events, int(self._allowance))
        )
        self._allowance = max(self._allowance - len(shown.events), 0.0)
        return shown

    def _cut(self, events: Sequence[bytes], events_max: int) -> ConflatedEvents:
        shown: dict[int, bytes] = {}  # index in the frame -> event
        combos: dict[bytes | int, list[tuple[int, GiftHead]]] = {}
        latest: dict[tuple[str, str], int] = {}
        others: list[int] = []
        for place, event in enumerate(events):
            kind = self._kinds.of(event)
            head = None if kind is None or kind.lane is not Lane.CONFLATED else gift_head(event)
            if head is not None and head.count > 0 and head.coins < self._always_shown_coins:
                # Messages are shown as they were sent, so a gift with one is not merged.
                combos.setdefault(head.combo_id if head.is_wordless else place, []).append((place, head))
            elif kind is None or kind.lane is Lane.ALWAYS or head is not None:
                shown[place] = event
            elif kind.lane is Lane.LATEST:
                latest[kind.type, kind.key_of(event)] = place
            else:
                others.append(place)
        shown |= {place: events[place] for place in latest.values()}
        left = max(events_max - len(shown), 0)
        chosen, gone = _dearest(list(combos.values()), left)
        for sends in chosen:
            place = sends[-1][0]
            metrics.EVENTS_MERGED.inc(len(sends) - 1)
            heads = [head for _, head in sends]
            shown[place] = events[place] if len(heads) == 1 else merged_gift(events[place], heads)
        left -= len(chosen)
        newest = others[len(others) - left :] if left < len(others) else others
        shown |= {place: events[place] for place in newest}
        omitted = Omitted(sum(map(len, gone)), sum(map(_coins, gone)), len(others) - len(newest))
        metrics.EVENTS_OMITTED.inc(omitted.count + omitted.others)
        return ConflatedEvents(
            [event for _, event in sorted(shown.items())], omitted if omitted != Omitted(0, 0) else None
        )


Sends = list[tuple[int, GiftHead]]


def _dearest(combos: list[Sends], at_most: int) -> tuple[list[Sends], list[Sends]]:
    """Return the streaks of the highest value (the newer ones of equal value), and the rest."""
    if len(combos) <= at_most:
        return combos, []
    chosen = nlargest(at_most, combos, key=lambda sends: (_coins(sends), sends[-1][0]))
    kept = {sends[-1][0] for sends in chosen}
    return chosen, [sends for sends in combos if sends[-1][0] not in kept]


def _coins(sends: Sends) -> int:
    return sum(head.coins for _, head in sends)
