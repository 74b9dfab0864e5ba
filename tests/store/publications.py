"""Publications as a relay makes them, and what a room must be after them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from hypothesis import strategies as st

from livegift.contract.bounds import TOP_GIFTERS
from livegift.domain.partitions import Position
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Publication, revoked_gift

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
    count: int = 1,
    repeat_count: int = 1,
    ts_ms: int = 1_000,
) -> Publication:
    event_id = f"{partition}-{epoch}-{n}"
    head = {"type": "gift", "id": event_id, "ts_ms": ts_ms, "count": 0 if ends else count}
    shown_combo = {"combo_id": combo or event_id, "repeat_count": repeat_count, "repeat_end": ends}
    shown = orjson.dumps({"id": user, "name": f"{user} of {event_id}"})
    money = (0, 0) if ends else (coins, 2 * coins)
    body = orjson.dumps({**head, **shown_combo, "coins": money[0], "diamonds": money[1], "anonymous": anonymous})[1:]
    at, known = Position(epoch, n), b"{}" if anonymous else shown
    kind: Literal["gift", "end"] = "end" if ends else "gift"
    return Publication(partition, at, kind, *money, user, anonymous, known, combo, body, ts_ms, Incarnation(1, 0))


def revocation(n: int, of: Publication, *, epoch: int = 1, ts_ms: int = 2_000) -> Publication:
    """What takes a published gift back."""
    event = orjson.loads(b"{" + of.body)
    body = revoked_gift(event["id"], event["combo_id"], event["count"])
    return replace(
        of,
        position=Position(epoch, n),
        kind="revoke",
        user_json=b"",
        combo_id=event["combo_id"],
        body=body,
        ts_ms=ts_ms,
    )


@st.composite
def journals(draw: st.DrawFn, partition: int) -> list[Publication]:
    """What one partition has for a room, over two epochs, with holes where the entries of other rooms were."""
    found: list[Publication] = []
    revoked: set[bytes] = set()
    n, epoch, open_combos = 0, 1, 0
    combos: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    kinds = ("gift", "streak", "more", "end", "epoch", "other", "revoke")
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=16)):
        n += 1
        if kind == "epoch":
            epoch = 2
            continue
        if kind == "other":
            continue
        if kind == "revoke":
            counted = [p for p in found if p.kind == "gift" and p.body not in revoked]
            if counted:
                of = draw(st.sampled_from(counted))
                revoked.add(of.body)
                gift = orjson.loads(b"{" + of.body)
                if gift["combo_id"] in counts:
                    counts[gift["combo_id"]] -= gift["count"]
                found.append(revocation(n, of, epoch=epoch, ts_ms=n))
            continue
        user, combo, ends = f"{draw(st.sampled_from(USERS))}:{partition}", "", False
        if kind == "streak" or (kind in ("more", "end") and not combos):
            open_combos += 1
            combos.append((f"{partition}-c{open_combos}", user))
            combo = combos[-1][0]
        elif kind in ("more", "end"):
            combo, user = combos.pop() if kind == "end" else combos[-1]
            ends = kind == "end"
        coins = draw(st.sampled_from((1, 1, 5, 100, 10**13)))
        anonymous = draw(st.booleans())
        count = draw(st.sampled_from((1, 2, 50)))
        counts[combo] = counts.get(combo, 0) + (0 if ends else count)
        streak = {"combo": combo, "ends": ends, "count": count, "repeat_count": counts[combo] if combo else count}
        found.append(
            publication(n, user, coins, partition=partition, epoch=epoch, anonymous=anonymous, ts_ms=n // 3, **streak)
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
    gifters: dict[str, list[int]] = field(default_factory=dict)
    """User -> gifts, coins, when the last that was not anonymous was sent."""
    names: dict[str, Any] = field(default_factory=dict)
    combos: dict[str, dict[str, Any]] = field(default_factory=dict)

    def publish(self, items: Iterable[Publication]) -> int:
        """How many were new."""
        before = len(self.events)
        for item in items:
            if item.position <= self.marks.get(item.partition, Position(0, 0)):
                continue
            self.marks[item.partition] = item.position
            if item.kind == "revoke":
                self._take_back(item)
                continue
            event = orjson.loads(b"{" + item.body)
            self._number(event)
            if item.kind == "end":
                self.combos.pop(item.combo_id, None)
                continue
            self._count(item, 1, item.ts_ms)
            if not item.anonymous:
                self.names[item.user] = orjson.loads(item.user_json)
            if item.combo_id:
                self.combos[item.combo_id] = event
        return len(self.events) - before

    def _number(self, event: dict[str, Any]) -> None:
        self.events.append({"seq": len(self.events) + 1, **event})

    def _count(self, item: Publication, sign: int, reached_ms: int) -> None:
        for i, amount in enumerate((1, item.coins, item.diamonds)):
            self.totals[i] += sign * amount
        row = self.gifters.setdefault(item.user, [0, 0, 0])
        row[0] += sign
        if not item.anonymous:
            row[1:] = row[1] + sign * item.coins, max(row[2], reached_ms)
        if not row[0]:
            del self.gifters[item.user]
            self.names.pop(item.user, None)

    def _take_back(self, item: Publication) -> None:
        gift_id, combo_id, count = item.body.decode().split()
        about = {"gift_event_id": gift_id, "combo_id": combo_id, "count": int(count)}
        money = {"coins": item.coins, "diamonds": item.diamonds}
        self._number(
            {"type": "gift.revoked", "id": f"{gift_id}-revoked", "ts_ms": item.ts_ms, **about, **money},
        )
        self._count(item, -1, 0)
        open_combo = self.combos.get(item.combo_id)
        if open_combo is not None:
            left = open_combo["repeat_count"] - int(count)
            self.combos[item.combo_id] = {**open_combo, "repeat_count": left}
            if left <= 0:
                del self.combos[item.combo_id]

    @property
    def totals_json(self) -> dict[str, int]:
        gifts, coins, diamonds = self.totals
        named = sum(coins > 0 for _, coins, _ in self.gifters.values())
        return {"gifts": gifts, "coins": coins, "diamonds": diamonds, "gifters": named}

    @property
    def top_json(self) -> list[dict[str, Any]]:
        """Of equals who was there first comes first; of those the greater id."""
        best = sorted(self.gifters, reverse=True)
        best.sort(key=lambda user: (-self.gifters[user][1], self.gifters[user][2]))
        coins = [(user, self.gifters[user][1]) for user in best[:TOP_GIFTERS] if self.gifters[user][1]]
        return [{"user": self.names[user], "coins": given, "rank": i + 1} for i, (user, given) in enumerate(coins)]
