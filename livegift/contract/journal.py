"""The entries of a partition's journal (the outbox): everything that ever changes a wallet, in order.

Entries are arrays on the wire: a tag, then the fields in this order. Fields are only ever added at the end.
"""

from msgspec import Raw, Struct


class GiftSent(Struct, frozen=True, array_like=True, tag="gift"):
    """A debited gift. `coins` and `diamonds` are of the whole send; `balance` and `wallet_seq` are after it."""

    user: str
    wallet_seq: int
    balance: int
    ref: str
    room: str
    to: str
    gift_id: str
    count: int
    coins: int
    diamonds: int
    combo_id: str
    repeat_count: int
    repeat_end: bool
    anonymous: bool
    ts_ms: int
    user_json: Raw
    details_json: Raw
    message_json: Raw
    payload_hash: str = ""
    day: int = 0


class StreakEnded(Struct, frozen=True, array_like=True, tag="streak_end"):
    """The end of a streak that got no further gift in time. Moves no money."""

    user: str
    room: str
    to: str
    gift_id: str
    combo_id: str
    repeat_count: int
    anonymous: bool
    ts_ms: int
    user_json: Raw
    details_json: Raw


class GiftRevoked(Struct, frozen=True, array_like=True):
    """The gift of a revocation, as it was sent; its room no longer counts it."""

    event_id: str
    room: str
    to: str
    gift_id: str
    combo_id: str
    count: int
    coins: int
    diamonds: int
    anonymous: bool


class WalletChanged(Struct, frozen=True, array_like=True, tag="change"):
    """A credit (`delta` > 0) or a correction (any `delta`) of a wallet. The reason names the account on the other side.

    With `revokes` it gives back the coins of a gift, which counts nowhere from here on.
    """

    user: str
    wallet_seq: int
    balance: int
    ref: str
    delta: int
    reason: str
    ts_ms: int
    payload_hash: str = ""
    revokes: GiftRevoked | None = None


class LimitsChanged(Struct, frozen=True, array_like=True, tag="limits"):
    """A wallet's limits and freeze from here on, with their own version. Moves no coins. None means no limit."""

    user: str
    version: int
    per_gift: int | None
    day: int | None
    month: int | None
    pending_ms: int
    pending_per_gift: int | None
    pending_day: int | None
    pending_month: int | None
    frozen: bool
    why: str
    by: str
    ts_ms: int


Entry = GiftSent | StreakEnded | WalletChanged | LimitsChanged
