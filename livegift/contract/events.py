"""The events of a room: each kind is one Struct. Features add their own kinds.

Gifts' events are many, so templates write them from JSON that the journal has already; a test keeps each equal to its
Struct. All others are written by `body_of`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from livegift.contract.bounds import ANONYMOUS_TIME_MS, AVATAR_URL_LENGTH_MAX, NAME_LENGTH_MAX
from livegift.contract.encoding import encode
from livegift.contract.journal import GiftSent, StreakEnded
from livegift.contract.values import Coins, Count, GiftKind, Seq, TimeMs, UserId

EventId = Annotated[str, Meta(min_length=1, max_length=160, description="opaque")]


class Event(Struct, frozen=True, kw_only=True):
    """The base of all events. The room sets `seq`; publishers leave it unset."""

    id: EventId
    ts_ms: Annotated[TimeMs, Meta(description="milliseconds since 1970; anonymous gifts: in whole seconds")]
    seq: Annotated[Seq, Meta(description="number of the event in its room, from 1 on")] | UnsetType = UNSET


SHOWN_CACHE_MAX = 10_000
ANY_EVENT = "AnyEvent"
"""The name that documents have for an event of any kind, those of features included."""
AnyEvent = Annotated[Raw, Meta(extra_json_schema={"$ref": f"#/components/schemas/{ANY_EVENT}"})]


class User(Struct, frozen=True, kw_only=True):
    """The sender of something. Anonymous senders have a name that they share, and no id."""

    id: Annotated[UserId, Meta(description="missing for anonymous senders")] | UnsetType = UNSET
    name: str
    avatar_url: Annotated[str, Meta(description="missing when there is none")] | UnsetType = UNSET


class Receiver(Struct, frozen=True):
    """The receiver of a gift."""

    id: UserId
    name: str


class GiftDetails(Struct, frozen=True):
    """The common part of the events of a receiver's gifts of one kind."""

    to_user: Receiver
    gift: GiftKind


class GiftEvent(Event, frozen=True, kw_only=True, tag="gift"):
    """A gift was sent, or with `repeat_end` and a `count` of 0 its streak has ended.

    `count`, `coins` and `diamonds` are of this send, or of `merged` sends of the streak; `repeat_count` is the streak's
    sum so far.
    """

    count: Annotated[Count, Meta(description="pieces; 0 in an event that only ends a streak")]
    combo_id: Annotated[EventId, Meta(description="the id of the streak's first event")]
    repeat_count: Annotated[Count, Meta(description="pieces of the streak so far")]
    repeat_end: Annotated[bool, Meta(description="no other send joins it; also true for gifts that make no streaks")]
    coins: Annotated[Coins, Meta(description="of these pieces together")]
    diamonds: Annotated[Coins, Meta(description="of these pieces together")]
    anonymous: Annotated[bool, Meta(description="the sender's id and name are not shown")]
    user: User
    to_user: Receiver
    gift: GiftKind
    message: Annotated[str, Meta(description="missing when there is none")] | UnsetType = UNSET
    merged: Annotated[int, Meta(ge=2, description="sends in this event; missing when it is one")] | UnsetType = UNSET


class GiftRevokedEvent(Event, frozen=True, kw_only=True, tag="gift.revoked"):
    """A gift no longer counts. Rooms write this event themselves (`revoked_body` of rooms.lua)."""

    gift_event_id: Annotated[EventId, Meta(description="the `id` of the gift's event")]
    combo_id: Annotated[EventId, Meta(description="the id of its streak's first event")]
    count: Annotated[Count, Meta(description="pieces that no longer count")]
    coins: Annotated[Coins, Meta(description="that no longer count")]
    diamonds: Annotated[Coins, Meta(description="that no longer count")]


class RoomEvent(Event, frozen=True, kw_only=True, tag="room"):
    """A room was opened or has ended."""

    status: Literal["live", "ended"]
    title: str


def body_of(event: Event) -> bytes:
    """Return the published form of an event: its JSON without the opening brace and `seq`, which the room adds."""
    return encode(event)[1:]


# --- Gifts ------------------------------------------------------------------------------------------------------------


def user_json(user: str, name: str, avatar_url: str | None) -> bytes:
    """Return the sender as events show it, as JSON."""
    shown_url = avatar_url if avatar_url and len(avatar_url) <= AVATAR_URL_LENGTH_MAX else UNSET
    # It is kept as long as the connection: orjson would leave its buffer of kilobytes around it.
    return encode(User(id=user, name=name[:NAME_LENGTH_MAX], avatar_url=shown_url))


ANONYMOUS_JSON = encode(User(name="Anonymous"))


def details_json(to: str, to_name: str, gift: GiftKind) -> bytes:
    """Return receiver and gift as events show them, as JSON."""
    return encode(GiftDetails(Receiver(to, to_name), gift))


class Shown(Struct, frozen=True, array_like=True):
    """What a gift's event shows beyond ids and amounts, as the journal keeps it. An anonymous sender has no name."""

    sender: str | tuple[str, str] | None
    to_name: str
    name: str
    coins: int
    diamond_count: int
    tier: int
    icon: str


ANONYMOUS_SENDER = "null"


def sender_shown(name: str, avatar_url: str | None) -> str:
    """Return the first part of `Shown`, as JSON."""
    shown_url = avatar_url if avatar_url and len(avatar_url) <= AVATAR_URL_LENGTH_MAX else None
    shown_name = name[:NAME_LENGTH_MAX]
    return encode(shown_name if shown_url is None else (shown_name, shown_url)).decode()


def details_shown(to_name: str, gift: GiftKind) -> str:
    """Return the other parts of `Shown`, as JSON without brackets."""
    parts = (to_name, gift.name, gift.coins, gift.diamond_count, gift.tier, gift.icon)
    return encode(parts)[1:-1].decode()


def shown(sender: str, details: str) -> str:
    """Return a `Shown` as JSON, from its two parts."""
    return f"[{sender},{details}]"


_shown_of = msgspec.json.Decoder(Shown).decode
_older_shown_of = msgspec.json.Decoder(tuple[Raw, Raw]).decode


@lru_cache(maxsize=SHOWN_CACHE_MAX)
def shown_json(text: bytes, user: str, to: str, gift_id: str, anonymous: int, streakable: int) -> tuple[Raw, Raw]:
    """Return sender (`user_json`) and details (`details_json`) of a gift whose entry has `text` as `Shown`.

    It is cached, as the gifts of a streak have the same one. The end of a streak that earlier versions have begun has
    both as they are. What can't be read, which no version writes, is shown by its ids.
    """
    try:
        if text.startswith(b"[{"):
            return _older_shown_of(text)
        found = _shown_of(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = Shown(user, to, gift_id, 0, 0, 1, "")
    kind = GiftKind(gift_id, found.name, found.coins, found.diamond_count, streakable == 1, found.tier, found.icon)
    details = Raw(details_json(to, found.to_name, kind))
    if anonymous or found.sender is None:
        return Raw(ANONYMOUS_JSON), details
    name, avatar_url = (found.sender, None) if isinstance(found.sender, str) else found.sender
    return Raw(user_json(user, name, avatar_url)), details


def shown_ms(ts_ms: int, *, anonymous: bool) -> int:
    """Return the time of a gift that others see. Gifts of one partition often share a millisecond."""
    return ts_ms - ts_ms % ANONYMOUS_TIME_MS if anonymous else ts_ms


def gift_event(event_id: str, combo_id: str, gift: GiftSent) -> bytes:
    """Write a `GiftEvent` as `body_of` does. Both ids are the public ones."""
    message = bytes(gift.message_json)
    ts_ms = shown_ms(gift.ts_ms, anonymous=gift.anonymous)
    text = b"" if message == b"null" else b',"message":' + message
    head = (
        f'"type":"gift","id":"{event_id}","ts_ms":{ts_ms},"count":{gift.count},"combo_id":"{combo_id}",'
        f'"repeat_count":{gift.repeat_count},"repeat_end":{_json_bool(gift.repeat_end)},"coins":{gift.coins},'
        f'"diamonds":{gift.diamonds},"anonymous":{_json_bool(gift.anonymous)},"user":'
    )
    return b"%b%b,%b%b}" % (head.encode(), gift.user_json, bytes(gift.details_json)[1:-1], text)


@dataclass(frozen=True, slots=True)
class GiftHead:
    """The head of a gift's event, before the sender's own text."""

    count: int
    combo_id: bytes
    coins: int
    diamonds: int
    is_wordless: bool


# As written by `gift_event`, with the room's `seq` before it. Nothing in it can come from a user.
_GIFT_HEAD = re.compile(
    rb'(\{"seq":\d+,"type":"gift","id":"[^"]+","ts_ms":\d+,"count":)(\d+)(,"combo_id":"([^"]+)","repeat_count":\d+,'
    rb'"repeat_end":(?:true|false),"coins":)(\d+)(,"diamonds":)(\d+),'
)


def gift_head(event: bytes) -> GiftHead | None:
    """Return the head of a room's event; None if it is not a gift."""
    found = _GIFT_HEAD.match(event)
    if found is None:
        return None
    # Within a JSON string the quotes would be escaped.
    return GiftHead(int(found[2]), found[4], int(found[5]), int(found[7]), b',"message":' not in event)


def merged_gift(last: bytes, heads: Sequence[GiftHead]) -> bytes:
    """Return the event that stands for several sends of a streak. `last` is the event of the last one."""
    found = _GIFT_HEAD.match(last)
    assert found is not None  # noqa: S101 - the caller has its head
    count, coins, diamonds = (sum(map(attrgetter(name), heads)) for name in ("count", "coins", "diamonds"))
    sums = (found[1], count, found[3], coins, found[6], diamonds, len(heads))
    return b'%b%d%b%d%b%d,"merged":%d,' % sums + last[found.end() :]


def streak_end_event(event_id: str, combo_id: str, end: StreakEnded) -> bytes:
    """Write the `GiftEvent` that ends a streak: `repeat_end`, and a `count` of 0."""
    ts_ms = shown_ms(end.ts_ms, anonymous=end.anonymous)
    head = (
        f'"type":"gift","id":"{event_id}","ts_ms":{ts_ms},"count":0,"combo_id":"{combo_id}",'
        f'"repeat_count":{end.repeat_count},"repeat_end":true,"coins":0,"diamonds":0,'
        f'"anonymous":{_json_bool(end.anonymous)},"user":'
    )
    return b"%b%b,%b}" % (head.encode(), end.user_json, bytes(end.details_json)[1:-1])


def _json_bool(value: bool) -> str:  # noqa: FBT001 - its one argument is its meaning
    return "true" if value else "false"
