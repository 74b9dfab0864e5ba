"""Entries of the journals' streams, and the rows that readers get of them: one for each gift of an entry of several.

The field of an entry is named `e` when it is a single entry of contract/journal.py. Else its name, the head, is the
number of the gifts in it, whose positions end with the entry's own. After a repair the head of an entry that was cut
also has its gifts' epoch: `3 7` are three gifts of epoch 7.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct

from livegift.contract.events import shown_json
from livegift.contract.journal import Entry, GiftSent, SentGift, SentGifts, StreakEnded, StreakOver
from livegift.domain.partitions import Position, event_id

# Of what no version writes, such as a thousand gifts, a row is made that the readers refuse.
_HEAD = re.compile(rb"([1-9]\d?)(?: (\d+))?")
NO_MESSAGE, NULL = Raw(b"0"), Raw(b"null")
_SINGLE = msgspec.json.Decoder(Entry | StreakOver)
_SEVERAL = msgspec.json.Decoder(SentGifts)
_PARTS = msgspec.json.Decoder(tuple[int, int, list[Raw]])


# Classes that every gift instantiates are msgspec's: a frozen dataclass takes several times as long.
class Row(Struct, frozen=True):
    """An entry with its position. `entry` is None when no version writes such bytes (see `raw`)."""

    position: Position
    entry: Entry | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it is in a stream. `positions` is how many it has; `head` is '' for a single entry."""

    last: Position
    positions: int
    head: str
    raw: bytes

    @classmethod
    def parse(cls, raw_id: bytes, fields: Sequence[bytes]) -> "Stored":
        """Parse an item of XREAD's or XRANGE's reply."""
        raw = fields[1] if len(fields) > 1 else b""
        epoch, _, n = raw_id.partition(b"-")  # Redis wrote it: there is nothing to check
        head = _HEAD.fullmatch(fields[0]) if fields else None
        if head is None:
            return cls(Position(int(epoch), int(n)), 1, "", raw)
        count, own_epoch = head.groups()
        return cls(Position(int(own_epoch or epoch), int(n)), int(count), head[0].decode(), raw)

    @property
    def first(self) -> Position:
        """Return the position of the first gift."""
        return Position(self.last.epoch, self.last.n - self.positions + 1)

    def rows(self, partition: int) -> list[Row]:
        """Return a row for each position."""
        if not self.head:
            return [_row(self.raw, partition, self.last)]
        try:
            found = _SEVERAL.decode(self.raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._rows_apart(partition)
        epoch, first = self.last.epoch, self.first.n
        if len(found.gifts) != self.positions:
            return [Row(Position(epoch, n), None, self.raw) for n in range(first, self.last.n + 1)]
        before = f"{partition}-{epoch}-"
        # What the ledger can't book is kept as `booking` encodes it again.
        return [
            Row(Position(epoch, n), _gift(partition, f"{before}{n}", found, gift), b"")
            for n, gift in enumerate(found.gifts, first)
        ]

    def _rows_apart(self, partition: int) -> list[Row]:
        """Return the rows of an entry of which at least one gift can't be read."""
        places = [Position(self.last.epoch, n) for n in range(self.first.n, self.last.n + 1)]
        try:
            ts_ms, day, raws = _PARTS.decode(self.raw)
        except msgspec.MsgspecError:
            return [Row(position, None, self.raw) for position in places]
        if len(raws) != len(places):
            return [Row(position, None, self.raw) for position in places]
        alone = [b"[%d,%d,[%b]]" % (ts_ms, day, raw) for raw in raws]
        return [_row(raw, partition, position) for position, raw in zip(places, alone, strict=True)]

    def up_to(self, n: int) -> "Stored":
        """Return the part of this entry, which goes beyond `n`, up to `n`."""
        kept = n - self.first.n + 1
        try:
            ts_ms, day, raws = _PARTS.decode(self.raw)
            raw = b"[%d,%d,[%b]]" % (ts_ms, day, b",".join(bytes(each) for each in raws[:kept]))
        except msgspec.MsgspecError:
            raw = self.raw
        return Stored(Position(self.last.epoch, n), kept, f"{kept} {self.last.epoch}", raw)


def decode(raw: bytes, partition: int, position: Position) -> Entry:
    """Return the entry of a row. Raises MsgspecError or UnicodeDecodeError if no version writes such bytes."""
    if raw.startswith(b'["'):
        entry: Entry | StreakOver = _SINGLE.decode(raw)
        return _streak_ended(entry) if isinstance(entry, StreakOver) else entry
    found = _SEVERAL.decode(raw)
    if len(found.gifts) != 1:
        raise msgspec.ValidationError(f"expected one gift, got {len(found.gifts)}")
    return _gift(partition, event_id(partition, position), found, found.gifts[0])


def _row(raw: bytes, partition: int, position: Position) -> Row:
    try:
        return Row(position, decode(raw, partition, position), raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Row(position, None, raw)


def rows_of(partition: int, stream: Iterable[tuple[bytes, list[bytes]]], after: Position) -> list[Row]:
    """Return the rows of a stream's entries, without what is not after a position: a cursor may be inside an entry."""
    rows: list[Row] = []
    for raw_id, fields in stream:
        found = Stored.parse(raw_id, fields).rows(partition)
        rows += found if found[0].position > after else [row for row in found if row.position > after]
    return rows


def _gift(partition: int, own_id: str, entry: SentGifts, gift: SentGift) -> GiftSent:
    combo = gift.combo
    sender, details = shown_json(bytes(gift.shown), gift.user, gift.to, gift.gift_id, gift.anonymous, int(combo != ""))
    return GiftSent(  # by position, because names take twice as long
        gift.user,
        gift.wallet_seq,
        gift.balance,
        gift.ref,
        gift.room,
        gift.to,
        gift.gift_id,
        gift.count,
        gift.coins,
        gift.diamonds,
        own_id if combo in ("", "=") else f"{partition}-{combo}",
        gift.repeat_count,
        combo == "",
        gift.anonymous == 1,
        entry.ts_ms,
        sender,
        details,
        NULL if gift.message == NO_MESSAGE else gift.message,
        gift.payload_hash,
        entry.day + gift.later_days,
    )


def _streak_ended(end: StreakOver) -> StreakEnded:
    sender, details = shown_json(bytes(end.shown), end.user, end.to, end.gift_id, int(end.anonymous), 1)
    return StreakEnded(
        end.user,
        end.room,
        end.to,
        end.gift_id,
        end.combo_id,
        end.repeat_count,
        end.anonymous,
        end.ts_ms,
        sender,
        details,
    )
