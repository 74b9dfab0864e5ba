"""The signatures of rooms.lua and its siblings.

A room's functions that publish or read events fail while the gate of its node is closed, and when the room has lost its
state. `log_max` is how many events a room's log keeps, `top_size` how many gifters its header names.
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
    """A journal entry to publish in a room. `kind` is gift, end or revoke; `combo_id` is '' without a streak.

    `body` is the event's JSON without the opening brace; for a revocation it is a record `revoked_gift`. `relay_epoch`
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
    """The end of a partition's earlier branches: entries above `base` count only from `epoch` on."""

    partition: Digits
    epoch: Digits
    base: Digits


class Floor(NamedTuple):
    """The first incarnation of a partition whose relays are accepted."""

    partition: Digits
    epoch: Integer
    generation: Integer


class GifterRow(NamedTuple):
    """A gifter according to the ledger."""

    user: Text
    gifts: Integer
    coins: Integer
    reached_ms: Integer


class NamedGifterRow(NamedTuple):
    """A gifter according to the ledger, with the user's JSON."""

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
    """The reply of `room_head`, as text."""

    epoch: str
    seq: str


@redis_function(allow_oom=True)
def room_publish(
    root: Key, log_max: Digits, top_size: Integer, publications: Annotated[list[Argument], Packed(PublicationRow)]
) -> None:
    """Publish journal entries, those of a partition in order; entries that the room has already are skipped.

    Returns how many were new. Fails when one was read before the relays were set back, or has other fields than those
    of this version.
    """


@redis_function(allow_oom=True)
def room_announce(
    root: Key, log_max: Digits, top_size: Integer, body: Json, once: Text, expire_after_s: Digits
) -> None:
    """Publish an event that comes from no wallet, once per key `once`. Returns 1, or 0 when it was published before.

    `expire_after_s` is the time after which the keys of a room that has ended expire; 0 while it is open.
    """


@redis_function(writes=False)
def room_snapshot(root: Key, top_size: Integer, since: OptionalInteger, since_epoch: Text, events_max: Digits) -> None:
    """Return the room's header as JSON, '1' or '0', and the events after `since`.

    '0' says that events are missing: the log does not reach back that far, or `since_epoch` ('' for the present one) is
    not the room's epoch.
    """


@redis_function(writes=False, reply=HeadReply._fields)
def room_head(root: Key) -> None:
    """Return a `HeadReply`: the epoch and the last seq."""


@redis_function(writes=False)
def room_totals(root: Key) -> None:
    """Return gifts, coins and diamonds, then partition and position of each watermark, all of the same moment."""


@redis_function(writes=False)
def room_contributions(root: Key) -> None:
    """Return partition and contribution (a record) of each partition from which the room has something."""


@redis_function(allow_oom=True)
def room_pulse(root: Key, process: Text, count: Digits, ttl_ms: Integer) -> None:
    """Record how many viewers a process has in the room. Returns how many all processes have."""


@redis_function(allow_oom=True)
def room_fence(root: Key, fences: Repeated[Fence]) -> None:
    """Refuse, from now on, entries that are not on the branch that counts.

    Returns the partitions and their contributions ('' for none).
    """


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
    """Set one partition's contribution to what the ledger says: position, sums and gifters.

    `before` is the contribution as the caller has read it, '' for none. `revoke_above` is the n above which the room
    has published entries that do not count, '' when there are none. With `room_lost`, the numbers that the room has
    given lately are not valid. Returns how many gifts were revoked, or -1 when the contribution is no longer `before`.
    """


@redis_function()
def room_tell(
    root: Key, log_max: Digits, top_size: Integer, event_id: Text, body: Json, told_max: Integer, when_ended: Flag
) -> None:
    """Publish a feature's event, once per id. Returns 1, or 0 when it is among the `told_max` that were told last.

    Fails with UNKNOWN when the room was never opened, and with ENDED unless it may be told something `when_ended`.
    """


@redis_function()
def room_keep(
    root: Key,
    log_max: Digits,
    top_size: Integer,
    part: Text,
    value_key: Text,
    version: Integer,
    is_over: Flag,
    body: Json,
    shown: Json,
    values_max: Integer,
    settled_ms: Integer,
    when_ended: Flag,
    when_unknown: Flag,
) -> None:
    """Publish a feature's event and keep it as the latest value of its key. Returns 1, or 0 when it was known already.

    `shown` is the value's JSON without the opening brace where it is not the event, else ''. Older versions are
    ignored; one that still looks older when what the room has is older than `settled_ms` is right. Fails as `room_tell`
    does, but for UNKNOWN with `when_unknown`, and with FULL when the part has `values_max` other values that are not
    over.
    """


@redis_function(writes=False)
def room_older(root: Key) -> None:
    """Return nothing unless it is a legacy room; else its stamp, then id and last event of each open streak."""


@redis_function(allow_oom=True)
def room_older_gifters(root: Key, stamp: Text, gifters: Repeated[GifterRow]) -> None:
    """Give a legacy room its gifters. Returns 1, or 0 when the room has changed since."""


@redis_function(allow_oom=True)
def room_older_end(root: Key, stamp: Text, streaks: Repeated[StreakEvent]) -> None:
    """Give a legacy room its open streaks, the last step. Returns 1, or 0 when the room has changed since."""


@redis_function(writes=False)
def rooms_gate() -> None:
    """Return the token of this node's gate, '' while it is closed."""


@redis_function(writes=False)
def rooms_close() -> None:
    """Publish nothing until the gate is opened again. Returns ''."""


@redis_function(writes=False)
def rooms_claim(token: Text) -> None:
    """Claim a closed gate. Returns '', or the token of an open gate.

    The last claim since this process has started allows opening the gate.
    """


@redis_function(writes=False)
def rooms_open(token: Text, floors: Repeated[Floor]) -> None:
    """Open the gate for relays that have begun in these incarnations of partitions or later ones.

    Returns the gate's token. Fails with UNCLAIMED unless the gate was claimed with this token.
    """
