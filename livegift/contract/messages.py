"""The messages that the server sends over a WebSocket: each is one Struct, and `encode` writes it.

Templates write the two frequent ones, frames of a room's events and results of gifts; a test keeps each equal to its
Struct. Features add their own messages.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, Self, TypedDict

import orjson
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from livegift.contract.bounds import TOP_GIFTERS
from livegift.contract.encoding import encode
from livegift.contract.errors import ErrorKind, kind_of
from livegift.contract.events import AnyEvent, EventId, GiftEvent, User
from livegift.contract.values import Coins, CommandId, Count, Epoch, Id, Ref, Seq, TimeMs, UserId

Balance = Annotated[int, Meta(description="the wallet's coins; below zero after a chargeback")]
WalletSeq = Annotated[
    Count, Meta(description="the number of the wallet's last change: with a lower one it is outdated")
]
ServerMs = Annotated[TimeMs, Meta(description="the server's time, in milliseconds since 1970")]
ErrorCode = Annotated[str, Meta(description="a code of the error table: decide by it")]
Sentence = Annotated[str, Meta(description="a sentence for people")]
Retryable = Annotated[bool, Meta(description="the same command may be sent again unchanged")]
RetryAfterMs = Annotated[Count, Meta(description="how long to wait before sending it again")]
Viewers = Annotated[Count, Meta(description="connections that have joined, over all web processes")]


class Message(Struct, frozen=True, kw_only=True):
    """The base of all messages. The answer to a command with an `id` carries that id (`answering` adds it)."""

    id: Annotated[CommandId, Meta(description="that of the command which this answers")] | UnsetType = UNSET


def answering(command_id: CommandId | None, answer: bytes) -> bytes:
    """Return the answer to a command with this `id`; the message unchanged when the command had none."""
    return answer if command_id is None else b'%b,"id":%b}' % (answer[:-1], orjson.dumps(command_id))


# --- The connection ---------------------------------------------------------------------------------------------------


class Limits(Struct, frozen=True, kw_only=True):
    """The limits for a client."""

    rooms_max: Annotated[int, Meta(description="rooms that a connection can have joined at once")]
    gift_count_max: Annotated[int, Meta(description="pieces in one `gift.send`")]
    message_length_max: Annotated[int, Meta(description="characters in a gift's message")]
    frame_bytes_max: Annotated[int, Meta(description="bytes in a client's frame: a larger one ends the connection")]
    commands_per_s_max: Annotated[int, Meta(description="of one connection, with bursts of twice as many; 0: no limit")]
    combo_timeout_ms: Annotated[int, Meta(description="a streak ends this long after its last send")]


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The answer to `hello`. Overlays have no wallet."""

    user: User
    balance: Balance | UnsetType = UNSET
    wallet_seq: WalletSeq | UnsetType = UNSET
    session_id: Annotated[str, Meta(description="this connection's name in the server's log")]
    server_ms: ServerMs
    limits: Limits


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping; `t` is the JSON that came."""

    t: Raw
    server_ms: ServerMs


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """An error: a command was refused, or something has happened to the connection.

    `outcome: unknown`: whether a gift was charged is not known; sending the same `ref` again tells.
    """

    code: ErrorCode
    message: Sentence
    retryable: Retryable
    ref: Annotated[Ref, Meta(description="that of the gift which this is about")] | UnsetType = UNSET
    room: Annotated[Id, Meta(description="the room that this is about")] | UnsetType = UNSET
    outcome: (
        Annotated[
            Literal["unknown"], Meta(description="it may have been charged: send the same `ref` again to find out")
        ]
        | UnsetType
    ) = UNSET
    retry_after_ms: RetryAfterMs | UnsetType = UNSET

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
    reconnect_in_ms: Annotated[Count, Meta(description="wait this long, then connect again")]


# --- Gifts and wallets ------------------------------------------------------------------------------------------------


class Combo(Struct, frozen=True):
    """A streak: the id of its first gift's event, and how many pieces it has so far."""

    id: Annotated[EventId, Meta(description="the id of its first gift's event")]
    repeat_count: Annotated[Count, Meta(description="pieces in the streak so far")]


class GiftAccepted(Message, frozen=True, kw_only=True, tag="gift.result"):
    """A gift was charged, now or (`duplicate`) when the same ref came first. `balance` is the current one."""

    ref: Ref
    status: Annotated[
        Literal["accepted", "duplicate"], Meta(description="duplicate: this `ref` was charged before, and not again")
    ]
    gift_event_id: Annotated[EventId, Meta(description="the `id` of the gift's event in the room")]
    coins: Annotated[Coins, Meta(description="charged for all pieces of this send")]
    balance: Balance
    wallet_seq: WalletSeq
    combo: Combo


class Limit(Struct, frozen=True, kw_only=True):
    """The spending limit that a gift would exceed, and when its count restarts (null: never)."""

    kind: Annotated[
        Literal["per_gift", "day", "month"], Meta(description="it limits the coins of one send, a day or a month")
    ]
    whose: Annotated[Literal["own", "operator"], Meta(description="set by the viewer (own) or by the operator")]
    allowed: Annotated[Coins, Meta(description="coins")]
    used: Annotated[Coins, Meta(description="coins, without this gift")]
    resets_ms: (
        Annotated[TimeMs, Meta(description="when `used` returns to 0, in milliseconds since 1970; null: never")] | None
    )


class GiftRejected(Message, frozen=True, kw_only=True, tag="gift.result"):
    """A gift was refused: certainly nothing was charged."""

    ref: Ref
    status: Literal["rejected"] = "rejected"
    code: ErrorCode
    message: Sentence
    retryable: Retryable
    shortfall: Annotated[Coins, Meta(description="coins that are missing for this gift")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="only with the code limit_exceeded")] | UnsetType = UNSET
    retry_after_ms: RetryAfterMs | UnsetType = UNSET
    balance: Annotated[int, Meta(description="the wallet's coins; missing when they could not be read")] | UnsetType = (
        UNSET
    )


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

    balance: Balance
    seq: WalletSeq
    reason: Annotated[
        str, Meta(description="what has changed it, such as gift, order or refund; resync: messages were lost")
    ]


class LimitReminder(Message, frozen=True, kw_only=True, tag="limit.reminder"):
    """A percentage of a spending limit is used. Redis writes this itself (`use` of limits.lua)."""

    kind: Literal["day", "month"]
    percent: Annotated[int, Meta(ge=1, le=100, description="the highest threshold of the limit that is reached")]
    allowed: Annotated[Coins, Meta(description="coins")]
    used: Annotated[Coins, Meta(description="coins, with this gift")]


class CreatorCredited(Message, frozen=True, kw_only=True, tag="creator.credited"):
    """Diamonds were booked for a creator; `matched_diamonds` of them came from sponsors."""

    batch_id: Annotated[str, Meta(description="the booking, as in statements")]
    diamonds: Annotated[Count, Meta(description="booked now, with `matched_diamonds`")]
    balance: Annotated[int, Meta(description="the creator's diamonds now, pending ones included")]
    matched_diamonds: (
        Annotated[Count, Meta(description="paid for by sponsors; missing when there are none")] | UnsetType
    ) = UNSET


# --- Rooms ------------------------------------------------------------------------------------------------------------


class Totals(Struct, frozen=True, kw_only=True):
    """A room's sums. Rooms write them themselves (`totals_json` of gifters.lua), as they do `Ranked`."""

    gifts: Annotated[Count, Meta(description="sends; revoked ones do not count")]
    coins: Annotated[Count, Meta(description="spent on them")]
    diamonds: Annotated[Count, Meta(description="earned by them")]
    gifters: Annotated[Count, Meta(description="users who have sent a gift under their name")]


class Ranked(Struct, frozen=True, kw_only=True):
    """One of the top gifters."""

    user: User
    coins: Annotated[Coins, Meta(description="spent in this room under the user's name")]
    rank: Annotated[int, Meta(ge=1, description="1 for the most coins")]


Ranks = Annotated[list[Ranked], Meta(description=f"the {TOP_GIFTERS} gifters with the most coins, at most")]


class Creator(Struct, frozen=True):
    """The creator of a room."""

    id: UserId
    name: str


_UNKNOWN = "missing while the ledger is away"


class RoomSnapshot(Message, frozen=True, kw_only=True, tag="room.snapshot"):
    """A room as it is at `seq`, with the events after `since` if that was given.

    Values that features keep in the room are lists of their own.
    """

    room: Id
    creator: Annotated[Creator, Meta(description=_UNKNOWN)] | UnsetType = UNSET
    status: Annotated[Literal["live", "ended"], Meta(description=_UNKNOWN)] | UnsetType = UNSET
    title: Annotated[str, Meta(description=_UNKNOWN)] | UnsetType = UNSET
    viewers: Viewers
    complete: Annotated[
        bool, Meta(description="`events` are all those after `since`; false: some are no longer available")
    ]
    epoch: Epoch
    seq: Seq
    totals: Totals
    top: Ranks
    combos: Annotated[list[GiftEvent], Meta(description="open streaks: the latest event of each")]
    events: Annotated[list[AnyEvent], Meta(description="those after `since`, in order of `seq`; none without it")]


class Omitted(Struct, frozen=True, omit_defaults=True):
    """The gifts (sends, as in the totals) that a frame leaves out, and their coins; and how many `others`."""

    count: Annotated[Count, Meta(description="sends")]
    coins: Annotated[Count, Meta(description="of these sends")]
    others: Annotated[Count, Meta(description="events of other kinds")] = 0


class RoomEvents(Message, frozen=True, kw_only=True, tag="room.events"):
    """The events of a room from `first_seq` to `seq`: all of them, or all but those omitted or merged."""

    room: Id
    epoch: Epoch
    first_seq: Annotated[Seq, Meta(description="the first `seq` that this frame covers, even if it is omitted")]
    seq: Annotated[Seq, Meta(description="the last `seq` that this frame covers")]
    totals: Annotated[Totals, Meta(description="as they are after event `seq`")]
    top: Ranks | UnsetType = UNSET
    omitted: (
        Annotated[Omitted, Meta(description="what the frame leaves out; missing when that is nothing")] | UnsetType
    ) = UNSET
    events: Annotated[list[AnyEvent], Meta(description="in order of `seq`")]


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
    viewers: Viewers
    top: Ranks | UnsetType = UNSET


class RoomGap(Message, frozen=True, kw_only=True, tag="room.gap"):
    """A gap: these events are no longer available; a snapshot shows the resulting state."""

    room: Id
    from_seq: Annotated[Seq, Meta(description="the first `seq` that is missing")]
    to_seq: Annotated[Seq, Meta(description="the last `seq` that is missing")]


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
