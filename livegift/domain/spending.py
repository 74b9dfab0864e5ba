"""The debit as pure functions: the reference that the Redis Functions are tested against.

A `Partition` is a value: every operation returns a new one with the entries it appended. Nothing here reads a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from msgspec import Struct, structs

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.journal import GiftRevoked
from livegift.domain.allowances import (
    MINUTE_MS,
    NO_LIMITS,
    NO_POLICY,
    NO_USAGE,
    Caps,
    Exceeded,
    Policy,
    SpendingLimits,
    Usage,
    exceeded,
    in_force,
    spent,
    usage_at,
)
from livegift.domain.allowances import change as change_limits
from livegift.domain.combos import Streak, StreakKey, extend, without_revoked
from livegift.domain.partitions import Position, event_id


# Classes that every gift instantiates are msgspec's: a frozen dataclass of a dozen fields takes ten times as long.
class GiftSend(Struct, frozen=True):
    """A gift as the hub passes it to the debit.

    `price` and `diamond_count` are for one piece; `verdict` is the code of a refusal by the hub, or ''.
    """

    user: str
    ref: str
    payload_hash: str
    room: str
    to: str
    gift_id: str
    price: int
    count: int
    diamond_count: int
    streakable: bool
    anonymous: bool = False
    verdict: str = ""
    policy: Policy = NO_POLICY


@dataclass(frozen=True, slots=True)
class Change:
    """A credit or a correction of `delta` coins (signed). Only with `overdraw` may the balance go below zero.

    With `revokes`, a gift of the user, that gift is also taken out of its streak if the streak is still open.
    """

    user: str
    ref: str
    payload_hash: str
    delta: int
    reason: str
    overdraw: bool = False
    revokes: GiftRevoked | None = None


class SetLimits(Struct, frozen=True):
    """A request for new limits by a viewer, or to freeze or thaw by an operator.

    `wanted` or `frozen` is None to leave it unchanged. `version` is the version known to the caller.
    """

    user: str
    version: int
    wanted: Caps | None
    delay_ms: int
    frozen: bool | None = None
    why: str = ""
    by: str = ""


class LimitsSet(Struct, frozen=True):
    """The limits were changed and are now at this version."""

    version: int


class Accepted(Struct, frozen=True):
    """The answer to an accepted gift or change.

    A repeat of the same ref gets the same answer with `duplicate`, and with the current balance and `wallet_seq`.
    """

    event_id: str
    coins: int
    balance: int
    wallet_seq: int
    combo_id: str = ""
    repeat_count: int = 0
    duplicate: bool = False


class Refused(Struct, frozen=True):
    """A refusal: nothing was charged. `code` is one of `errors.ERRORS`."""

    code: str
    balance: int
    shortfall: int = 0
    limit: Exceeded | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Journaled:
    """An appended entry, reduced to the fields the model knows."""

    position: Position
    kind: str
    user: str
    wallet_seq: int
    balance: int
    coins: int
    combo_id: str
    repeat_count: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The stored answer to an accepted ref."""

    payload_hash: str
    answer: Accepted


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet of spendable coins. `seq` counts its changes without gaps; only operators set `frozen`."""

    balance: int = 0
    seq: int = 0
    frozen: bool = False
    limits: SpendingLimits = NO_LIMITS
    usage: Usage = NO_USAGE
    refs: Mapping[str, StoredAnswer] = field(default_factory=dict)

    @property
    def is_frozen(self) -> bool:
        """Return whether the wallet can't send: frozen, or below zero until that is paid up."""
        return self.frozen or self.balance < 0


@dataclass(frozen=True, slots=True)
class Partition:
    """The state of one partition."""

    number: int
    epoch: int = 1
    n: int = 0
    wallets: Mapping[str, WalletState] = field(default_factory=dict)
    streaks: Mapping[StreakKey, Streak] = field(default_factory=dict)
    journal: tuple[Journaled, ...] = ()

    def wallet(self, user: str) -> WalletState:
        """Return the wallet of `user`; an empty one if it was never changed."""
        return self.wallets.get(user, WalletState())

    @property
    def next_position(self) -> Position:
        """Return the position of the next entry."""
        return Position(self.epoch, self.n + 1)

    def append(self, entry: Journaled) -> "Partition":
        """Return this partition with one more entry."""
        return replace(self, n=entry.position.n, journal=(*self.journal, entry))

    def with_wallet(self, user: str, wallet: WalletState) -> "Partition":
        """Return this partition with that wallet."""
        return replace(self, wallets={**self.wallets, user: wallet})


def _known(wallet: WalletState, ref: str, payload_hash: str) -> Accepted | Refused | None:
    remembered = wallet.refs.get(ref)
    if remembered is None:
        return None
    if remembered.payload_hash != payload_hash:
        return Refused("ref_conflict", wallet.balance)
    return structs.replace(remembered.answer, balance=wallet.balance, wallet_seq=wallet.seq, duplicate=True)


def _refusal(wallet: WalletState, send: GiftSend, now_ms: int) -> Refused | None:
    coins = send.price * send.count
    if send.verdict:
        return Refused(send.verdict, wallet.balance)
    if wallet.is_frozen:
        return Refused("wallet_frozen", wallet.balance)
    if send.count < 1 or coins > AMOUNT_MAX or send.diamond_count * send.count > AMOUNT_MAX:
        return Refused("invalid", wallet.balance)
    if wallet.balance < coins:
        return Refused("insufficient_coins", wallet.balance, coins - wallet.balance)
    return _over_limit(wallet, send, now_ms) if send.policy.day else None


def _over_limit(wallet: WalletState, send: GiftSend, now_ms: int) -> Refused | None:
    usage = usage_at(wallet.usage, send.policy, now_ms)
    per_minute = send.policy.gifts_per_minute
    if per_minute is not None and usage.minute_gifts >= per_minute:
        return Refused("rate_limited", wallet.balance, retry_after_ms=MINUTE_MS - now_ms % MINUTE_MS)
    limit = exceeded(in_force(wallet.limits, now_ms), send.policy, usage, send.price * send.count)
    return Refused("limit_exceeded", wallet.balance, limit=limit) if limit else None


def send_gift(
    partition: Partition, send: GiftSend, now_ms: int, combo_timeout_ms: int
) -> tuple[Partition, Accepted | Refused]:
    """Debit one gift. A known ref gets its stored answer, a refusal changes nothing, an accepted gift is journaled."""
    wallet = partition.wallet(send.user)
    known = _known(wallet, send.ref, send.payload_hash)
    if known is not None:
        return partition, known
    refused = _refusal(wallet, send, now_ms)
    if refused is not None:
        return partition, refused

    key = StreakKey(send.user, send.room, send.gift_id, send.to, send.anonymous)
    streak = partition.streaks.get(key)
    if send.streakable and streak is not None and streak.expired(now_ms):
        partition = _end_streak(partition, key)
        streak = None
    position = partition.next_position
    gift_event_id = event_id(partition.number, position)
    if send.streakable:
        streak = extend(streak, gift_event_id, send.count, now_ms, combo_timeout_ms)
        partition = replace(partition, streaks={**partition.streaks, key: streak})
        combo_id, repeat_count = streak.combo_id, streak.repeat_count
    else:
        combo_id, repeat_count = gift_event_id, send.count

    coins = send.price * send.count
    answer = Accepted(gift_event_id, coins, wallet.balance - coins, wallet.seq + 1, combo_id, repeat_count)
    partition = partition.append(
        Journaled(position, "gift", send.user, answer.wallet_seq, answer.balance, coins, combo_id, repeat_count)
    )
    changed = replace(
        wallet,
        balance=answer.balance,
        seq=answer.wallet_seq,
        usage=spent(usage_at(wallet.usage, send.policy, now_ms), coins) if send.policy.day else wallet.usage,
        refs={**wallet.refs, send.ref: StoredAnswer(send.payload_hash, answer)},
    )
    return partition.with_wallet(send.user, changed), answer


def change_wallet(partition: Partition, change: Change) -> tuple[Partition, Accepted | Refused]:
    """Credit or correct a wallet, once per ref. Refs of changes and of gifts are separate."""
    wallet = partition.wallet(change.user)
    ref = "!" + change.ref
    known = _known(wallet, ref, change.payload_hash)
    if known is not None:
        return partition, known
    balance = wallet.balance + change.delta
    if abs(change.delta) > AMOUNT_MAX or change.delta == 0 or balance > AMOUNT_MAX or balance < -AMOUNT_MAX:
        return partition, Refused("invalid", wallet.balance)
    if balance < 0 and change.delta < 0 and not change.overdraw:
        return partition, Refused("insufficient_coins", wallet.balance, -balance)
    position = partition.next_position
    answer = Accepted(event_id(partition.number, position), change.delta, balance, wallet.seq + 1)
    partition = partition.append(
        Journaled(position, "change", change.user, answer.wallet_seq, balance, change.delta, "", 0)
    )
    if change.revokes is not None:
        partition = _shorten_streak(partition, change.user, change.revokes)
    changed = replace(
        wallet,
        balance=balance,
        seq=answer.wallet_seq,
        refs={**wallet.refs, ref: StoredAnswer(change.payload_hash, answer)},
    )
    return partition.with_wallet(change.user, changed), answer


def _shorten_streak(partition: Partition, user: str, gift: GiftRevoked) -> Partition:
    key = StreakKey(user, gift.room, gift.gift_id, gift.to, gift.anonymous)
    streak = partition.streaks.get(key)
    if streak is None:
        return partition
    return replace(partition, streaks={**partition.streaks, key: without_revoked(streak, gift.combo_id, gift.count)})


def set_limits(partition: Partition, asked: SetLimits, now_ms: int) -> tuple[Partition, LimitsSet | Refused]:
    """Change limits, freeze or thaw a wallet. Moves no coins; the journaled entry has a version of its own.

    A wallet below zero can't be thawed.
    """
    wallet = partition.wallet(asked.user)
    if wallet.limits.version != asked.version:
        return partition, Refused("conflict", wallet.balance)
    if asked.frozen is False and wallet.balance < 0:
        return partition, Refused("wallet_frozen", wallet.balance)
    if asked.wanted is None:
        limits = wallet.limits._replace(version=wallet.limits.version + 1)
    else:
        limits = change_limits(wallet.limits, asked.wanted, now_ms, asked.delay_ms)
    frozen = wallet.frozen if asked.frozen is None else asked.frozen
    partition = partition.append(Journaled(partition.next_position, "limits", asked.user, limits.version, 0, 0, "", 0))
    return partition.with_wallet(asked.user, replace(wallet, limits=limits, frozen=frozen)), LimitsSet(limits.version)


def _end_streak(partition: Partition, key: StreakKey) -> Partition:
    streak = partition.streaks[key]
    streaks = {other: value for other, value in partition.streaks.items() if other != key}
    entry = Journaled(partition.next_position, "streak_end", key.user, 0, 0, 0, streak.combo_id, streak.repeat_count)
    return replace(partition.append(entry), streaks=streaks)


def sweep_streaks(partition: Partition, now_ms: int, room: str = "") -> Partition:
    """End the expired streaks and all streaks of `room` (which has ended), oldest deadline first."""
    due = sorted(
        (streak.deadline_ms, key.text, key)
        for key, streak in partition.streaks.items()
        if streak.expired(now_ms) or (room and key.room == room)
    )
    for _, _, key in due:
        partition = _end_streak(partition, key)
    return partition
