"""Publications as a relay makes them, and what a room must be after them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import strategies as st

from livegift.domain.partitions import Position
from livegift.limits import TOP_GIFTERS
from livegift.store.outbox import Life
from livegift.store.rooms import Publication

USERS = ("ann", "bob", "c:3")


def publication(
    n: int,
    user: str = "ann",
    coins: int = 5,
    *,
    partition: int = 0,
    epoch: int = 1,
    anonymous: bool = False,
    combo: str = "",
    ends: bool = False,
) -> Publication:
    event_id = f"{partition}-{epoch}-{n}"
    body = orjson.dumps({"type": "gift", "id": event_id, "combo_id": combo or event_id, "repeat_end": ends})[1:]
    shown = orjson.dumps({"id": user, "name": f"{user} of {event_id}"})
    money = (0, 0) if ends else (coins, 2 * coins)
    at = Position(epoch, n)
    return Publication(
        partition, at, ends, *money, user, anonymous, b"{}" if anonymous else shown, combo, body, Life(1, 0)
    )


@st.composite
def journals(draw: st.DrawFn, partition: int) -> list[Publication]:
    """What one partition has for a room, over two epochs, with holes where the entries of other rooms were."""
    found: list[Publication] = []
    n, epoch, open_combos = 0, 1, 0
    combos: list[tuple[str, str]] = []
    for kind in draw(st.lists(st.sampled_from(("gift", "streak", "more", "end", "epoch", "other")), max_size=16)):
        n += 1
        if kind == "epoch":
            epoch = 2
            continue
        if kind == "other":
            continue
        user, combo, ends = draw(st.sampled_from(USERS)), "", False
        if kind == "streak" or (kind in ("more", "end") and not combos):
            open_combos += 1
            combos.append((f"{partition}-c{open_combos}", user))
            combo = combos[-1][0]
        elif kind in ("more", "end"):
            combo, user = combos.pop() if kind == "end" else combos[-1]
            ends = kind == "end"
        coins = draw(st.sampled_from((1, 5, 100, 10**13)))
        anonymous = draw(st.booleans())
        found.append(
            publication(n, user, coins, partition=partition, epoch=epoch, anonymous=anonymous, combo=combo, ends=ends)
        )
    return found


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[Publication]], list[Publication]]:
    """Calls of relays that crash and repeat, but skip nothing; and everything once."""
    sources = [draw(journals(partition)) for partition in (0, 1)]
    reached = [0, 0]
    calls = []
    for _ in range(draw(st.integers(1, 6))):
        call: list[Publication] = []
        for which in draw(st.permutations((0, 1))):
            start = draw(st.integers(0, reached[which]))
            end = draw(st.integers(start, len(sources[which])))
            call += sources[which][start:end]
            reached[which] = max(reached[which], end)
        calls.append(call)
    calls.append([*sources[1], *sources[0]])
    return calls, [*sources[0], *sources[1]]


@dataclass
class Model:
    """A room, from what was published to it."""

    marks: dict[int, Position] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    totals: list[int] = field(default_factory=lambda: [0, 0, 0])
    ranks: dict[str, int] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    combos: dict[str, dict[str, Any]] = field(default_factory=dict)

    def publish(self, items: Iterable[Publication]) -> int:
        """How many were new."""
        before = len(self.events)
        for item in items:
            if item.position <= self.marks.get(item.partition, Position(0, 0)):
                continue
            self.marks[item.partition] = item.position
            event = orjson.loads(b"{" + item.body)
            self.events.append({"seq": len(self.events) + 1, **event})
            if item.ends_streak:
                self.combos.pop(item.combo_id, None)
                continue
            for i, amount in enumerate((1, item.coins, item.diamonds)):
                self.totals[i] += amount
            self.ranks[item.user] = self.ranks.get(item.user, 0) + (0 if item.anonymous else item.coins)
            if not item.anonymous:
                self.names[item.user] = orjson.loads(item.user_json)
            if item.combo_id:
                self.combos[item.combo_id] = event
        return len(self.events) - before

    @property
    def totals_json(self) -> dict[str, int]:
        gifts, coins, diamonds = self.totals
        return {
            "gifts": gifts,
            "coins": coins,
            "diamonds": diamonds,
            "gifters": sum(coins > 0 for coins in self.ranks.values()),
        }

    @property
    def top_json(self) -> list[dict[str, Any]]:
        best = sorted(((coins, user) for user, coins in self.ranks.items() if coins), reverse=True)[:TOP_GIFTERS]
        return [{"user": self.names[user], "coins": coins, "rank": i + 1} for i, (coins, user) in enumerate(best)]
