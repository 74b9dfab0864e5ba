"""The signatures of the functions of rooms: of rooms.lua and its siblings.

With the gate of its node closed, a function of a room that publishes or reads events fails; so it does when the room
has lost its state. `log_max` is how many events a room's log keeps, `top_size` how many gifters its header names.
"""

from typing import Annotated, NamedTuple

from livegift.store.functions.signature import (
    Argument,
    Counted,
    Digits,
    Flag,
    Integer,
    Json,
    Key,
    OptionalInteger,
    Packed,
    Repeated,
    Text,
    redis_function,
)


class PublicationRow(NamedTuple):
    """A journal entry as a room gets it. `kind` is gift, end or revoke; `combo_id` is '' without a streak.

    `body` is the event's JSON without the opening brace, for what is revoked a record `revoked_gift`. `relay_epoch`
    and `relay_generation` are those in which the relay has begun.
    """

    partition: Digits
    epoch: Digits
    n: Digits
    kind: Text
    coins: Integer
    diamonds: Integer
    user: Text
    anonymous: Flag
    user_json: Json
    combo_id: Text
    body: Json
    ts_ms: Digits
    relay_epoch: Integer
    relay_generation: Integer


class Fence(NamedTuple):
    """Where a partition's earlier branches end: what is above `base` counts only from `epoch` on."""

    partition: Digits
    epoch: Digits
    base: Digits


class Floor(NamedTuple):
    """The incarnation of a partition from which on its relays are heard."""

    partition: Digits
    epoch: Integer
    generation: Integer


class GifterRow(NamedTuple):
    """A gifter as the ledger has it."""

    user: Text
    gifts: Integer
    coins: Integer
    reached_ms: Integer


class NamedGifterRow(NamedTuple):
    """A gifter as the ledger has it, with the user's JSON."""

    user: Text
    gifts: Integer
    coins: Integer
    reached_ms: Integer
    user_json: Json


class StreakEvent(NamedTuple):
    """An open streak of a room and its last event, JSON."""

    combo_id: Text
    event: Json


class HeadReply(NamedTuple):
    """What `room_head` replies, as text."""

    epoch: str
    seq: str


@redis_function(allow_oom=True)
def room_publish(
    root: Key, log_max: Digits, top_size: Integer, publications: Annotated[list[Argument], Packed(PublicationRow)]
) -> None:
    """Publish journal entries, those of a partition in their order; what the room has already is passed over.

    Returns how many were new. Fails when one was read before the relays were set back, or has other fields than this
    version's.
    """


@redis_function(allow_oom=True)
def room_announce(
    root: Key, log_max: Digits, top_size: Integer, body: Json, once: Text, expire_after_s: Digits
) -> None:
    """Publish an event that comes from no wallet, once per key `once`. Returns 1, or 0 when it was there already.

    `expire_after_s` is after how long the keys of a room that has ended go, 0 while it is open.
    """


@redis_function(writes=False)
def room_snapshot(root: Key, top_size: Integer, since: OptionalInteger, since_epoch: Text, events_max: Digits) -> None:
    """Returns the room's header as JSON, '1' or '0', and the events after `since`.

    '0': these are not all, since the log does not reach back that far or `since_epoch` ('' for this one) is another.
    """


@redis_function(writes=False, reply=HeadReply._fields)
def room_head(root: Key) -> None:
    """Returns a `HeadReply`: the epoch and the last seq."""


@redis_function(writes=False)
def room_totals(root: Key) -> None:
    """Returns gifts, coins and diamonds, then partition and position of each watermark, all of one moment."""


@redis_function(writes=False)
def room_contributions(root: Key) -> None:
    """Returns partition and contribution (a record) for each partition that the room has something from."""


@redis_function(allow_oom=True)
def room_pulse(root: Key, process: Text, count: Digits, ttl_ms: Integer) -> None:
    """Note how many viewers a process has in the room. Returns how many all processes have."""


@redis_function(allow_oom=True)
def room_fence(root: Key, fences: Repeated[Fence]) -> None:
    """Refuse from now on what is not of the branch that counts. Returns partitions and contributions ('' for none)."""


@redis_function(allow_oom=True)
def room_correct(
    root: Key,
    log_max: Digits,
    top_size: Integer,
    partition: Digits,
    before: Text,
    epoch: Integer,
    n: Integer,
    gifts: Integer,
    coins: Integer,
    diamonds: Integer,
    revoke_above: OptionalInteger,
    room_lost: Flag,
    forgotten: Counted[Text],
    gifters: Repeated[NamedGifterRow],
) -> None:
    """Put one partition's contribution right, to what the ledger says: place, sums and gifters.

    `before` is the contribution as the caller has read it, '' for none. `revoke_above` is the n above which the room
    has published what does not count, '' when it has not. `room_lost`: what it has numbered lately is worth nothing.
    Returns how many gifts were revoked, or -1 when the contribution is not `before` any more.
    """


@redis_function(allow_oom=True)
def room_match(
    root: Key,
    log_max: Digits,
    top_size: Integer,
    match_id: Text,
    used_coins: Integer,
    status_rank: Integer,
    event: Json,
    shown_json: Json,
    settled_ms: Integer,
) -> None:
    """Show a sponsor match as the ledger has it. Returns 1, or 0 when that is no news.

    `status_rank` is 0 while it is active; `event` is JSON without the opening brace. News that look older are wrong,
    and not late, when what the room has is older than `settled_ms`.
    """


@redis_function(writes=False)
def room_older(root: Key) -> None:
    """Returns nothing unless the room has an older form; else its stamp, then id and event of each open streak."""


@redis_function(allow_oom=True)
def room_older_gifters(root: Key, stamp: Text, gifters: Repeated[GifterRow]) -> None:
    """Give an older room its gifters. Returns 1, or 0 when the room is not as it was."""


@redis_function(allow_oom=True)
def room_older_end(root: Key, stamp: Text, streaks: Repeated[StreakEvent]) -> None:
    """Give an older room its open streaks, the last step. Returns 1, or 0 when the room is not as it was."""


@redis_function(writes=False)
def rooms_gate() -> None:
    """Returns the token of this node's gate, '' while it is closed."""


@redis_function(writes=False)
def rooms_close() -> None:
    """Publish nothing until the gate is opened again. Returns ''."""


@redis_function(writes=False)
def rooms_claim(token: Text) -> None:
    """Claim a closed gate: the last of this very process to do so may open it. Returns '' or the open gate's token."""


@redis_function(writes=False)
def rooms_open(token: Text, floors: Repeated[Floor]) -> None:
    """Open the gate for relays that have begun in these incarnations of partitions or later. Returns the gate's token.

    Fails with UNCLAIMED unless the gate was claimed with this token.
    """
