"""The messages that the server sends over a WebSocket: each is one Struct, and `encode` writes it.

Templates write the two frequent ones, frames of a room's events and results of gifts; a test keeps each equal to its
Struct. Features add their own messages.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, Self, TypedDict

import orjson
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from livegift.contract.encoding import encode
from livegift.contract.errors import ErrorKind, kind_of
from livegift.contract.events import AnyEvent, EventId, GiftEvent, User
from livegift.contract.values import Coins, CommandId, Count, Epoch, Id, Ref, Seq, TimeMs, UserId


class Message(Struct, frozen=True, kw_only=True):
    """The base of all messages. The answer to a command with an `id` carries that id (`answering` adds it)."""

    id: CommandId | UnsetType = UNSET


def answering(command_id: CommandId | None, answer: bytes) -> bytes:
    """Return the answer to a command with this `id`; the message unchanged when the command had none."""
    return answer if command_id is None else b'%b,"id":%b}' % (answer[:-1], orjson.dumps(command_id))


# --- The connection ---------------------------------------------------------------------------------------------------


class Limits(Struct, frozen=True, kw_only=True):
    """The limits for a client."""

    rooms_max: int
    gift_count_max: int
    message_length_max: int
    frame_bytes_max: int
    commands_per_s_max: int
    combo_timeout_ms: int


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The answer to `hello`. Overlays have no wallet."""

    user: User
    balance: int | UnsetType = UNSET
    wallet_seq: Count | UnsetType = UNSET
    session_id: str
    server_ms: TimeMs
    limits: Limits


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping; `t` is the JSON that came."""

    t: Raw
    server_ms: TimeMs


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """An error: a command was refused, or something has happened to the connection.

    `outcome: unknown`: whether a gift was charged is not known; sending the same `ref` again tells.
    """

    code: str
    message: str
    retryable: bool
    ref: Ref | UnsetType = UNSET
    room: Id | UnsetType = UNSET
    outcome: Literal["unknown"] | UnsetType = UNSET
    retry_after_ms: Count | UnsetType = UNSET

    @classmethod
    def of(
        cls,
        error: str | ErrorKind,
        message: str | None = None,
        *,
        ref: Ref | UnsetType = UNSET,
        room: Id | UnsetType = UNSET,
        outcome: Literal["unknown"] | UnsetType = UNSET,
        retry_after_ms: Count | UnsetType = UNSET,
    ) -> Self:
        """Return the message of an error, with its sentence unless `message` says more."""
        known = kind_of(error)
        return cls(
            code=known.code,
            message=message or known.sentence,
            retryable=known.retryable,
            ref=ref,
            room=room,
            outcome=outcome,
            retry_after_ms=retry_after_ms,
        )


class About(TypedDict, total=False):
    """The subject of an error, as far as it is known."""

    ref: Ref
    room: Id
    outcome: Literal["unknown"]


class Bye(Message, frozen=True, kw_only=True, tag="bye"):
    """The process is stopping: reconnect after this time, to another one."""

    reason: Literal["restarting"]
    reconnect_in_ms: Count


# --- Gifts and wallets ------------------------------------------------------------------------------------------------


class Combo(Struct, frozen=True):
    """A streak: the id of its first gift's event, and how many pieces it has so far."""

    id: EventId
    repeat_count: Count


class GiftAccepted(Message, frozen=True, kw_only=True, tag="gift.result"):
    """A gift was charged, now or (`duplicate`) when the same ref came first. `balance` is the current one."""

    ref: Ref
    status: Literal["accepted", "duplicate"]
    gift_event_id: EventId
    coins: Coins
    balance: int
    wallet_seq: Count
    combo: Combo


class Limit(Struct, frozen=True, kw_only=True):
    """The spending limit that a gift would exceed, and when its count restarts (None: never)."""

    kind: Literal["per_gift", "day", "month"]
    whose: Literal["own", "operator"]
    allowed: Coins
    used: Coins
    resets_ms: TimeMs | None


class GiftRejected(Message, frozen=True, kw_only=True, tag="gift.result"):
    """A gift was refused: certainly nothing was charged."""

    ref: Ref
    status: Literal["rejected"] = "rejected"
    code: str
    message: str
    retryable: bool
    shortfall: Coins | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    retry_after_ms: Count | UnsetType = UNSET
    balance: int | UnsetType = UNSET


def gift_accepted(
    *,
    ref: str,
    status: str,
    gift_event_id: str,
    coins: int,
    balance: int,
    wallet_seq: int,
    combo_id: str,
    repeat_count: int,
) -> bytes:
    """Write a `GiftAccepted`. All its texts are ids, which need no escaping."""
    return (
        f'{{"type":"gift.result","ref":"{ref}","status":"{status}","gift_event_id":"{gift_event_id}",'
        f'"coins":{coins},"balance":{balance},"wallet_seq":{wallet_seq},'
        f'"combo":{{"id":"{combo_id}","repeat_count":{repeat_count}}}}}'
    ).encode()


class Wallet(Message, frozen=True, kw_only=True, tag="wallet"):
    """A wallet has changed, through another connection or an order. A higher `seq` is newer.

    Redis writes most of these itself (`tell` of accounts.lua).
    """

    balance: int
    seq: Count
    reason: str


class LimitReminder(Message, frozen=True, kw_only=True, tag="limit.reminder"):
    """A percentage of a spending limit is used. Redis writes this itself (`use` of limits.lua)."""

    kind: Literal["day", "month"]
    percent: Annotated[int, Meta(ge=1, le=100)]
    allowed: Coins
    used: Coins


class CreatorCredited(Message, frozen=True, kw_only=True, tag="creator.credited"):
    """Diamonds were booked for a creator; `matched_diamonds` of them came from sponsors."""

    batch_id: str
    diamonds: Count
    balance: int
    matched_diamonds: Count | UnsetType = UNSET


# --- Rooms ------------------------------------------------------------------------------------------------------------


class Totals(Struct, frozen=True, kw_only=True):
    """A room's sums. Rooms write them themselves (`totals_json` of gifters.lua), as they do `Ranked`."""

    gifts: Count
    coins: Count
    diamonds: Count
    gifters: Count


class Ranked(Struct, frozen=True, kw_only=True):
    """One of the top gifters."""

    user: User
    coins: Coins
    rank: Annotated[int, Meta(ge=1)]


class Creator(Struct, frozen=True):
    """The creator of a room."""

    id: UserId
    name: str


class RoomSnapshot(Message, frozen=True, kw_only=True, tag="room.snapshot"):
    """A room as it is at `seq`, with the events after `since` if that was given.

    `complete`: these are all of them. `creator`, `status` and `title` are missing while the ledger is away. Values that
    features keep in the room are lists of their own.
    """

    room: Id
    creator: Creator | UnsetType = UNSET
    status: Literal["live", "ended"] | UnsetType = UNSET
    title: str | UnsetType = UNSET
    viewers: Count
    complete: bool
    epoch: Epoch
    seq: Seq
    totals: Totals
    top: list[Ranked]
    combos: list[GiftEvent]
    events: list[AnyEvent]


class Omitted(Struct, frozen=True, omit_defaults=True):
    """The gifts (sends, as in the totals) that a frame leaves out, and their coins; and how many `others`."""

    count: Count
    coins: Count
    others: Count = 0


class RoomEvents(Message, frozen=True, kw_only=True, tag="room.events"):
    """The events of a room from `first_seq` to `seq`: all of them, or all but those omitted or merged."""

    room: Id
    epoch: Epoch
    first_seq: Seq
    seq: Seq
    totals: Totals
    top: list[Ranked] | UnsetType = UNSET
    omitted: Omitted | UnsetType = UNSET
    events: list[AnyEvent]


def room_events(
    room: str,
    epoch: int,
    first_seq: int,
    seq: int,
    totals: bytes,
    top: bytes | None,
    events: Iterable[bytes],
    omitted: Omitted | None = None,
) -> bytes:
    """Write a `RoomEvents`, whose parts are JSON already."""
    head = f'{{"type":"room.events","room":"{room}","epoch":{epoch},"first_seq":{first_seq},"seq":{seq},"totals":'
    ranks = b"" if top is None else b',"top":' + top
    left_out = b"" if omitted is None else b',"omitted":' + encode(omitted)
    return b'%b%b%b%b,"events":[%b]}' % (head.encode(), totals, ranks, left_out, b",".join(events))


class RoomPulse(Message, frozen=True, kw_only=True, tag="room.pulse"):
    """The latest values, which have no `seq`. Without `top` the ranks are unchanged."""

    room: Id
    viewers: Count
    top: list[Ranked] | UnsetType = UNSET


class RoomGap(Message, frozen=True, kw_only=True, tag="room.gap"):
    """A gap: these events are no longer available; a snapshot shows the resulting state."""

    room: Id
    from_seq: Seq
    to_seq: Seq


MESSAGES: tuple[type[Message], ...] = (
    Welcome,
    Pong,
    Error,
    Bye,
    GiftAccepted,
    GiftRejected,
    Wallet,
    LimitReminder,
    CreatorCredited,
    RoomSnapshot,
    RoomEvents,
    RoomPulse,
    RoomGap,
)
