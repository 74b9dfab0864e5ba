"""Typed calls of the functions that change wallets: building commands, parsing outcomes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import cast

import msgspec
from msgspec import Struct

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.errors import StoreUnavailableError
from livegift.domain.allowances import (
    NO_CAPS,
    NO_LIMITS,
    NO_USAGE,
    Caps,
    Exceeded,
    Kind,
    Policy,
    SpendingLimits,
    Usage,
    Whose,
)
from livegift.domain.combos import StreakKey
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, Change, GiftSend, LimitsSet, Refused, SetLimits
from livegift.runtime.bounds import CLOCK_DIFFERENCE_MAX_MS
from livegift.store import keys
from livegift.store.client import Store, refused
from livegift.store.functions import wallets as functions
from livegift.store.functions.partitions import PartitionReply, partition_state
from livegift.store.functions.records import RECORDS
from livegift.store.link import Command


class Display(Struct, frozen=True):
    """The parts of a gift's event that only clients read: JSON that is passed through undecoded.

    `shown` is what `events.shown` returns, `message_json` a JSON text, or 0 for none.
    """

    shown: str
    message_json: str = "0"


@dataclass(frozen=True, slots=True)
class Unknown:
    """The wallet could not be asked: its partition is not armed, broken or unreachable.

    The ref may have been charged.
    """

    message: str


Outcome = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Balance:
    """The present state of a wallet. `frozen` says that it can't send: frozen by an operator, or below zero."""

    balance: int = 0
    seq: int = 0
    frozen: bool = False
    frozen_by_operator: bool = False
    limits: SpendingLimits = NO_LIMITS
    usage: Usage = NO_USAGE


def payload_hash(*fields: object) -> str:
    """Return 16 hex digits over what the client sent, so that a ref can't be reused for a different request."""
    return blake2b(repr(fields).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1024)
def policy_text(policy: Policy) -> str:
    """Return a policy as the function expects it. It is cached: all viewers of a region have the same one for a day."""
    if not policy.day:
        return ""
    caps = policy.caps
    return RECORDS["policy"].text(
        day=policy.day,
        per_gift=_text(caps.per_gift),
        per_day=_text(caps.day),
        per_month=_text(caps.month),
        gifts_per_minute=_text(policy.gifts_per_minute),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def limits_text(limits: SpendingLimits) -> str:
    """Return limits as stored in the wallet; '' when none were ever set."""
    if not limits.version:
        return ""
    return RECORDS["limits"].text(
        version=limits.version,
        **{name: _text(cap) for name, cap in limits.own._asdict().items()},
        pending_ms=limits.pending_ms,
        **{f"pending_{name}": _text(cap) for name, cap in limits.pending._asdict().items()},
    )


def parse_limits(text: str) -> SpendingLimits:
    """Parse what `limits_text` returns. Raises ValueError."""
    if not text:
        return SpendingLimits()
    said = dict(zip(RECORDS["limits"].kinds, RECORDS["limits"].parse(text), strict=True))
    own = Caps(*(_number(said[name]) for name in Caps._fields))
    pending = Caps(*(_number(said[f"pending_{name}"]) for name in Caps._fields))
    return SpendingLimits(int(said["version"]), own, int(said["pending_ms"]), pending)


def _number(text: str) -> int | None:
    return int(text) if text else None


def usage_text(usage: Usage) -> str:
    """Return usage as stored in the wallet; '' for none."""
    return RECORDS["usage"].text(**usage._asdict()) if usage.day else ""


def parse_usage(text: str) -> Usage:
    """Parse what `usage_text` returns. Raises ValueError."""
    return Usage(*map(int, RECORDS["usage"].parse(text))) if text else Usage()


def gift_send(
    root: str, gifts: Iterable[tuple[GiftSend, Display]], now_ms: int, combo_timeout_ms: int, ref_ttl_s: int
) -> Command:
    """Return the call that debits `gifts` of one partition, in order.

    It replies an outcome for each (`parse_outcome`).
    """
    packed: list[str | bytes | int] = []
    for gift, display in gifts:
        user, ref, room, to, gift_id, count = gift.user, gift.ref, gift.room, gift.to, gift.gift_id, gift.count
        coins, diamonds = gift.price * count, gift.diamond_count * count
        if gift.verdict:
            cost = f"!{gift.verdict}"
        else:
            cost = str(coins) if coins <= AMOUNT_MAX and diamonds <= AMOUNT_MAX else ""
        anonymous = 1 if gift.anonymous else 0
        streak_key = StreakKey(user, room, gift_id, to, gift.anonymous).text if gift.streakable else ""
        policy = policy_text(gift.policy)
        fragment = (  # in the order of SentGift
            f'"{user}","{ref}","{room}","{to}","{gift_id}",{count},{coins},{diamonds},{anonymous},'
            f'"{gift.payload_hash}",{display.message_json},\n{display.shown}'
        )
        # [generated] pack gift_send.gifts to packed: user, ref, gift.payload_hash, cost, count as gift_count,
        #   streak_key, policy, fragment
        packed += (
            user,
            ref,
            gift.payload_hash,
            cost,
            count,
            streak_key,
            policy,
            fragment,
        )
        # [/generated]
    return functions.gift_send(root, now_ms, CLOCK_DIFFERENCE_MAX_MS, combo_timeout_ms, ref_ttl_s, packed)


def change_command(root: str, change: Change, ref_ttl_s: int) -> Command:
    """Return the call that changes a wallet. Its reply is for `parse_outcome`."""
    args = (root, ref_ttl_s, change.user, change.ref, change.payload_hash, change.delta, change.reason)
    gift = change.revokes
    if gift is not None:
        return functions.wallet_revoke(
            *args,
            gift_json=msgspec.json.encode(gift),
            streak_key=StreakKey(change.user, gift.room, gift.gift_id, gift.to, gift.anonymous).text,
            combo_id=gift.combo_id,
            count=gift.count,
        )
    if change.delta > 0 and not change.overdraw:
        return functions.wallet_credit(*args)
    return functions.wallet_correct(*args, overdraw="1" if change.overdraw else "0")


def parse_outcome(reply: bytes) -> Outcome:
    """Parse the reply to one gift or change. Raises ValueError for a reply of no known form."""
    kind, *fields = reply.decode().split("|")
    if kind in ("ok", "dup"):
        gift_event_id, coins, balance, seq, combo_id, repeat_count = fields
        return Accepted(
            gift_event_id, int(coins), int(balance), int(seq), combo_id, int(repeat_count), duplicate=kind == "dup"
        )
    if kind == "no":
        return _refused(fields)
    if kind == "error":
        return Unknown("|".join(fields))
    raise ValueError(f"expected ok, dup, no or error, got {reply!r}")


def _refused(fields: list[str]) -> Refused:
    code, balance, shortfall, *more = fields
    limit, retry_after_ms = None, None
    if code == "limit_exceeded":
        what, whose, allowed, used = more
        limit = Exceeded(cast("Kind", what), cast("Whose", whose), int(allowed), int(used))
    elif more:
        retry_after_ms = int(more[0])
    return Refused(code, int(balance), int(shortfall), limit, retry_after_ms)


def limits_command(root: str, asked: SetLimits) -> Command:
    """Return the call of `wallet_limits`. Its reply is for `parse_limits_reply`."""
    wanted = asked.wanted or NO_CAPS
    return functions.wallet_limits(
        root,
        user=asked.user,
        version=asked.version,
        delay_ms=asked.delay_ms,
        per_gift="-" if asked.wanted is None else _text(wanted.per_gift),
        day=_text(wanted.day),
        month=_text(wanted.month),
        frozen="" if asked.frozen is None else str(int(asked.frozen)),
        why_json=msgspec.json.encode(asked.why),
        by=asked.by,
    )


def parse_limits_reply(reply: bytes) -> LimitsSet | Outcome:
    """Parse the reply of `wallet_limits`. Raises ValueError for a reply of no known form."""
    return LimitsSet(int(reply[4:])) if reply.startswith(b"set|") else parse_outcome(reply)


def parse_wallets(reply: Sequence[bytes]) -> list[Balance]:
    """Parse the reply of `wallets_read`."""
    fields = [item.decode() for item in reply]
    return [
        Balance(
            int(balance),
            int(seq),
            frozen=bool(frozen) or int(balance) < 0,
            frozen_by_operator=bool(frozen),
            limits=parse_limits(limits),
            usage=parse_usage(usage),
        )
        for balance, seq, frozen, limits, usage in zip(*(fields[i::5] for i in range(5)), strict=True)
    ]


def _balance_or_error(reply: object) -> Balance | StoreUnavailableError:
    if isinstance(reply, StoreUnavailableError):
        return reply
    message = refused(reply)
    return parse_wallets(cast("list[bytes]", reply))[0] if message is None else StoreUnavailableError(message)


class Wallets:
    """The wallets, by user, outside the hot path."""

    def __init__(self, store: Store, partitions: int, ref_ttl_s: int) -> None:
        """Use `store`; `partitions` is their number, fixed at the first migration."""
        self._store = store
        self._roots = keys.partition_roots(partitions)
        self.ref_ttl_s = ref_ttl_s

    def root_of(self, user: str) -> str:
        """Return the root of the partition that owns the wallet of `user`."""
        return self._roots[partition_of(user, len(self._roots))]

    async def read(self, user: str) -> Balance:
        """Return the wallet of `user`, read from the primary. Raises StoreUnavailableError."""
        root = self.root_of(user)
        (found,) = parse_wallets(await self._store.call(functions.wallets_read(root, [user])))
        return found

    async def read_many(self, users: Sequence[str]) -> list[Balance | StoreUnavailableError]:
        """Return each user's wallet, read in one exchange per node, or why it can't be read."""
        commands = [functions.wallets_read(self.root_of(user), [user]) for user in users]
        return [_balance_or_error(reply) for reply in await self._store.call_many(commands)]

    async def is_armed(self, root: str) -> bool:
        """Return whether a partition is armed: else nothing in it can be trusted. Raises StoreUnavailableError."""
        reply: list[bytes] = await self._store.call(partition_state(root))
        return PartitionReply(*(item.decode() for item in reply)).armed_epoch != "0"

    async def change(self, change: Change) -> Outcome:
        """Change a wallet, once per ref: by `wallet_credit`, `wallet_correct` or, for a gift, `wallet_revoke`.

        Raises StoreUnavailableError: the outcome is unknown, repeat the same ref.
        """
        command = change_command(self.root_of(change.user), change, self.ref_ttl_s)
        outcome = parse_outcome(await self._store.call(command))
        if isinstance(outcome, Unknown):
            raise StoreUnavailableError(outcome.message)
        if isinstance(outcome, Refused) and outcome.code == "unavailable":
            raise StoreUnavailableError("the partition takes no money at the moment", executed=False)
        return outcome

    async def set_limits(self, asked: SetLimits) -> LimitsSet | Refused:
        """Change limits, freeze or thaw; refused as 'conflict' when the wallet is at a different version.

        Raises StoreUnavailableError: then the version shows whether it was done.
        """
        outcome = parse_limits_reply(await self._store.call(limits_command(self.root_of(asked.user), asked)))
        if isinstance(outcome, LimitsSet) or (isinstance(outcome, Refused) and outcome.code != "unavailable"):
            return outcome
        raise StoreUnavailableError("the partition takes no changes at the moment")

    async def publish_to_user(self, user: str, message: bytes) -> None:
        """Publish `message` to all connections of `user`. Raises StoreUnavailableError."""
        root = self.root_of(user)
        await self._store.call_plain(root, ("SPUBLISH", keys.user_channel(root, user), message))


def batch_outcomes(reply: object, count: int) -> list[Outcome]:
    """Return the outcomes of one `gift_send` call with `count` gifts.

    A command that Redis refused charged nothing, but it could not look up the refs either: an earlier try of the same
    ref may have been accepted, so the outcome is unknown.
    """
    message = refused(reply)
    if message is not None:
        return [Unknown(message)] * count
    if not isinstance(reply, list) or len(reply) != count:
        return [Unknown(f"expected {count} outcomes, got {reply!r}")] * count
    return [parse_outcome(item) for item in reply]
