"""The signatures of partitions.lua and repair.lua.

A `token` was chosen by the last caller to disarm the partition; it is valid until the partition is armed.
"""

from typing import NamedTuple

from livegift.store.functions.signature import (
    Digits,
    Flag,
    Integer,
    Json,
    Key,
    PositionText,
    Repeated,
    Text,
    redis_function,
)


class WalletRow(NamedTuple):
    """The state to give a wallet. With a `seq` of 0 and no limits, the wallet is removed."""

    user: Text
    balance: Digits
    seq: Digits
    frozen: Flag
    limits: Text
    usage: Text


class RefName(NamedTuple):
    """A ref of a wallet, and the hour in which it may have got an answer, in hours since 1970; '' if not known."""

    user: Text
    ref: Text
    hour: Text


class RefRow(NamedTuple):
    """A ref with its answer (a record `answer`) and the hour in which the answer was given, in hours since 1970."""

    user: Text
    ref: Text
    hour: Digits
    answer: Text


class StreakRow(NamedTuple):
    """An open streak: its key and its state (records `streak_key` and `streak`), and what its end shows."""

    key: Text
    deadline_ms: Digits
    streak: Text
    shown: Json


class PartitionReply(NamedTuple):
    """The reply of `partition_state`, as text."""

    armed_epoch: str
    epoch: str
    n: str
    relayed: str
    booked: str
    gifts: str
    coins: str
    generation: str
    reach_n: str
    event_id_key: str


class PlaceReply(NamedTuple):
    """The reply of `partition_disarm`, as text."""

    epoch: str
    n: str


@redis_function(writes=False, reply=PlaceReply._fields)
def partition_disarm(root: Key, token: Text) -> None:
    """Let no money move until the caller that disarmed last has armed the partition. Returns the stored epoch and n."""


@redis_function(allow_oom=True)
def partition_arm(
    root: Key, epoch: Digits, number: Digits, backlog_max: Digits, token: Text, n: Digits, event_id_key: Text
) -> None:
    """Let money move under a new epoch, and tell all hubs: their viewers may know other balances. Returns 'OK'.

    Fails unless the token is valid, the epoch is above the stored one and the partition is at `n`. `number` is the
    partition's own; event ids are made with `event_id_key`.
    """


@redis_function(allow_oom=True)
def partition_join(root: Key, epoch: Digits, number: Digits) -> None:
    """Arm another version of the functions beside the one that was armed first. Returns 'OK'.

    Fails when the partition is in a different epoch.
    """


@redis_function(writes=False, reply=PartitionReply._fields)
def partition_state(root: Key) -> None:
    """Return a `PartitionReply`.

    `armed_epoch` is the epoch under which money moves, or '0' (also when it is not the stored one); `reach_n` is the n
    after which the outbox has every entry; `event_id_key` is '' before the partition is armed for the first time.
    """


@redis_function(allow_oom=True)
def partition_short(root: Key, short: Text) -> None:
    """Record that memory is short ('1') or no longer short ('0'). Returns 'OK'."""


@redis_function(allow_oom=True)
def cursor_advance(root: Key, reader: Text, position: PositionText, epoch: Digits, generation: Digits) -> None:
    """Record the position of a reader, 'relayed' or 'booked'. Returns 1, or 0 when it is not new or does not count.

    The cursor only goes forwards, so a late owner does no harm, and never beyond the partition itself, as that of a
    reader of another Redis would. For 'relayed', `epoch` and `generation` are those in which the relay has begun:
    setting a relay back begins a generation, in which nothing of the one before counts. While the partition is being
    compared (it is not armed then) that cursor does not move.
    """


@redis_function(allow_oom=True)
def cursor_rewind(root: Key, position: PositionText, epoch: Digits) -> None:
    """Set the relay back to publish again what comes after a position, which a room may have lost.

    Returns the new generation. Fails when the partition is in a different epoch, or its outbox no longer has all of
    these entries.
    """


@redis_function(allow_oom=True)
def outbox_trim(root: Key, upto: PositionText) -> None:
    """Trim the entries before a position, but none that a reader does not have yet. Returns how many were removed."""


@redis_function(allow_oom=True)
def barrier(root: Key) -> None:
    """Write something for WAITAOF to wait for. Returns 'OK'."""


@redis_function(allow_oom=True)
def wallets_put(root: Key, token: Text, wallets: Repeated[WalletRow]) -> None:
    """Set the state of wallets. Returns 'OK'. Fails unless the token is valid."""


@redis_function(allow_oom=True)
def refs_drop(root: Key, token: Text, refs: Repeated[RefName]) -> None:
    """Remove refs that were never accepted on the branch that counts. Returns 'OK'. Fails unless the token is valid.

    Comes before `wallets_put`: the wallets know the hours of their refs.
    """


@redis_function(allow_oom=True)
def refs_put(root: Key, token: Text, ref_ttl_s: Integer, refs: Repeated[RefRow]) -> None:
    """Store answers again; comes after `wallets_put`. Returns 'OK'. Fails unless the token is valid."""


@redis_function(allow_oom=True)
def streaks_drop(root: Key, token: Text, keys: Repeated[Text]) -> None:
    """Remove streaks that are not open. Returns 'OK'. Fails unless the token is valid."""


@redis_function(allow_oom=True)
def streaks_put(root: Key, token: Text, streaks: Repeated[StreakRow]) -> None:
    """Open streaks again. Returns 'OK'. Fails unless the token is valid."""


@redis_function(allow_oom=True)
def streaks_convert(root: Key, token: Text) -> None:
    """Convert the streaks that version 1 of the functions has left open. Returns 'OK'.

    Fails unless the token is valid.
    """


@redis_function(allow_oom=True)
def partition_put(
    root: Key,
    token: Text,
    common_n: Integer,
    epoch: Digits,
    n: Integer,
    gifts: Integer,
    coins: Integer,
    kept_head: Text,
    kept: Json,
) -> None:
    """Remove what is above `common_n` from the outbox, and store the partition's new position. Returns 'OK'.

    `kept` is the part up to `common_n` of an entry of several gifts that goes beyond it, or ''. It comes back as an
    entry of `epoch`, and `kept_head` says the number of its gifts and their own epoch (see journal.lua).

    This is the last step of a repair: until then the partition reports its old position. The rooms are corrected
    separately, so the relay has nothing to do up to here. Fails unless the token is valid.
    """
