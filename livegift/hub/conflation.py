"""Conflation: what a viewer is shown of a rush is every expensive gift, and as many others as the eye can follow.

Always shown are ends of streaks, gifts from a set value up, revocations, the room's state and matches. Ordinary gifts
of one streak become one event when there are more than the room's cap, and then the cheapest are left out. What is
left out is counted, and totals are exact in every frame. Viewers and likes are no events: their latest values come
with `room.pulse`.
"""

from collections.abc import Sequence
from heapq import nlargest
from typing import NamedTuple

from livegift.contract import wire
from livegift.contract.wire import GiftHead, Omitted
from livegift.runtime import metrics


class Shown(NamedTuple):
    """The events of a frame, and what they leave out."""

    events: Sequence[bytes]
    omitted: Omitted | None


class Conflation:
    """The cap of one room: so many events a second, saved up for a second at most."""

    def __init__(self, events_per_s_max: int, always_shown_coins: int) -> None:
        """Gifts of `always_shown_coins` or more are always shown. `events_per_s_max` 0 is no cap."""
        self._per_s = events_per_s_max
        self._always_shown_coins = always_shown_coins
        self._allowance = float(events_per_s_max)
        self._at_s = 0.0

    def cap(self, events: Sequence[bytes], now_s: float) -> Shown:
        """What of these events goes out at `now_s` (seconds of a clock that never goes back); the same object if all.

        What is always shown may exceed the cap; the excess is not taken from later frames.
        """
        if not self._per_s:
            return Shown(events, None)
        self._allowance = min(self._allowance + (now_s - self._at_s) * self._per_s, self._per_s)
        self._at_s = now_s
        shown = Shown(events, None) if len(events) <= self._allowance else self._cut(events, int(self._allowance))
        self._allowance = max(self._allowance - len(shown.events), 0.0)
        return shown

    def _cut(self, events: Sequence[bytes], events_max: int) -> Shown:
        always: dict[int, bytes] = {}  # place in the frame -> event
        combos: dict[bytes | int, list[tuple[int, GiftHead]]] = {}
        for place, event in enumerate(events):
            head = wire.gift_head(event)
            if head is None or head.count == 0 or head.coins >= self._always_shown_coins:
                always[place] = event
            else:
                # Words are shown as they were sent, so such a gift stays on its own.
                combos.setdefault(head.combo_id if head.is_wordless else place, []).append((place, head))
        chosen = list(combos.values())
        omitted = None
        left = max(events_max - len(always), 0)
        if len(combos) > left:
            # Of equal value the newer ones.
            chosen = nlargest(left, chosen, key=lambda sends: (_coins(sends), sends[-1][0]))
            kept = {sends[-1][0] for sends in chosen}
            gone = [sends for sends in combos.values() if sends[-1][0] not in kept]
            omitted = Omitted(sum(map(len, gone)), sum(map(_coins, gone)))
            metrics.EVENTS_OMITTED.inc(omitted.gifts)
        for sends in chosen:
            place = sends[-1][0]
            metrics.EVENTS_MERGED.inc(len(sends) - 1)
            heads = [head for _, head in sends]
            always[place] = events[place] if len(heads) == 1 else wire.merged_gift(events[place], heads)
        return Shown([event for _, event in sorted(always.items())], omitted)


def _coins(sends: list[tuple[int, GiftHead]]) -> int:
    return sum(head.coins for _, head in sends)
