"""The signatures of partitions.lua and repair.lua.

A `token` is what the last one to disarm the partition has chosen; it holds until the partition is armed.
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
    """A wallet as it is to be. A `seq` of 0 and no limits: there is none."""

    user: Text
    balance: Digits
    seq: Digits
    frozen: Flag
    limits: Text
    usage: Text


class RefName(NamedTuple):
    """A ref of a wallet."""

    user: Text
    ref: Text


class RefRow(NamedTuple):
    """A ref with the answer that it had (a record `answer`) and the hour in which it was given, since 1970."""

    user: Text
    ref: Text
    hour: Digits
    answer: Text


class StreakRow(NamedTuple):
    """An open streak: its key and its state (records `streak_key` and `streak`)."""

    key: Text
    deadline_ms: Digits
    streak: Json


class PartitionReply(NamedTuple):
    """What `partition_state` replies, as text."""

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
    """What `partition_disarm` replies, as text."""

    epoch: str
    n: str


@redis_function(writes=False, reply=PlaceReply._fields)
def partition_disarm(root: Key, token: Text) -> None:
    """Let no money move until the one who disarmed last has armed. Returns the stored epoch and n."""


@redis_function(allow_oom=True)
def partition_arm(
    root: Key, epoch: Digits, number: Digits, backlog_max: Digits, token: Text, n: Digits, event_id_key: Text
) -> None:
    """Let money move under a new epoch, and tell all hubs, whose viewers may know another balance. Returns 'OK'.

    Fails unless the token holds, the epoch is above the stored one and the partition is at `n`. `number` is the
    partition's own, `event_id_key` is what the ids of its events are made with.
    """


@redis_function(allow_oom=True)
def partition_join(root: Key, epoch: Digits, number: Digits) -> None:
    """Arm another version of the functions beside the one that was armed first. Returns 'OK'.

    Fails when the partition has another epoch.
    """


@redis_function(writes=False, reply=PartitionReply._fields)
def partition_state(root: Key) -> None:
    """Returns a `PartitionReply`.

    `armed_epoch` is the epoch under which money moves or '0' (also when another one is stored); `reach_n` is the n
    after which the outbox has every entry; `event_id_key` is '' before the partition is armed for the first time.
    """


@redis_function(allow_oom=True)
def partition_short(root: Key, short: Text) -> None:
    """Note that memory is short ('1') or not any more ('0'). Returns 'OK'."""


@redis_function(allow_oom=True)
def cursor_advance(root: Key, reader: Text, position: PositionText, epoch: Digits, generation: Digits) -> None:
    """Note how far a reader is: 'relayed' or 'booked'. Returns 1, or 0 when that is no news or does not count.

    Only forwards, so a late owner does no harm, and never beyond the partition itself, as a reader of another Redis
    would be. For 'relayed', `epoch` and `generation` are those in which the relay has begun: one that was set back
    begins a generation, in which nothing of the one before counts. While the partition is compared (it is not armed
    then) that cursor stands still.
    """


@redis_function(allow_oom=True)
def cursor_rewind(root: Key, position: PositionText, epoch: Digits) -> None:
    """Have the relay publish again what comes after a position: a room may have lost it. Returns the new generation.

    Fails when the partition has another epoch, or its outbox does not have all of it any more.
    """


@redis_function(allow_oom=True)
def outbox_trim(root: Key, upto: PositionText) -> None:
    """Forget the entries before a position, but none that a reader does not have yet. Returns how many went."""


@redis_function(allow_oom=True)
def barrier(root: Key) -> None:
    """Write something for WAITAOF to wait for. Returns 'OK'."""


@redis_function(allow_oom=True)
def wallets_put(root: Key, token: Text, wallets: Repeated[WalletRow]) -> None:
    """Set wallets to what they are to be. Returns 'OK'. Fails unless the token holds."""


@redis_function(allow_oom=True)
def refs_drop(root: Key, token: Text, refs: Repeated[RefName]) -> None:
    """Forget refs that were never accepted on the branch that counts. Returns 'OK'. Fails unless the token holds.

    Comes before `wallets_put`: the wallets know the hours.
    """


@redis_function(allow_oom=True)
def refs_put(root: Key, token: Text, ref_ttl_s: Integer, refs: Repeated[RefRow]) -> None:
    """Remember answers again; after the wallets. Returns 'OK'. Fails unless the token holds."""


@redis_function(allow_oom=True)
def streaks_drop(root: Key, token: Text, keys: Repeated[Text]) -> None:
    """Forget streaks that are not open. Returns 'OK'. Fails unless the token holds."""


@redis_function(allow_oom=True)
def streaks_put(root: Key, token: Text, streaks: Repeated[StreakRow]) -> None:
    """Open streaks again. Returns 'OK'. Fails unless the token holds."""


@redis_function(allow_oom=True)
def partition_put(
    root: Key, token: Text, common_n: Integer, epoch: Digits, n: Digits, gifts: Digits, coins: Digits
) -> None:
    """Cut what is above `common_n` out of the outbox, and say where the partition is now. Returns 'OK'.

    The last step of a repair: until then the partition says that it is where it was. The rooms are put right
    otherwise, so the relay has nothing to do up to here. Fails unless the token holds.
    """
