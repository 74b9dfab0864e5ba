"""The entries of a partition's journal (the outbox): everything that ever changes a wallet, in order.

Entries are arrays on the wire: a tag, then the fields in this order. Fields are only ever added at the end. The gifts
that were debited by one call are a single entry, `SentGifts`; readers make a `GiftSent` of each (`domain/entries.py`).
"""

from msgspec import Raw, Struct


class GiftSent(Struct, frozen=True, array_like=True, tag="gift"):
    """A debited gift as readers get it; versions before `SentGifts` have written it so.

    `coins` and `diamonds` are of the whole send; `balance` and `wallet_seq` are after it.
    """

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


class SentGift(Struct, frozen=True, array_like=True):
    """A gift in an entry of several. Lua writes the fields up to `later_days`, the hub the rest, which Lua only copies.

    `combo` is the position of the streak's first gift, '=' when that is this one, '' when the gift can't be part of a
    streak. The day of its limits is the entry's and `later_days` more. `message` is 0 for none. `shown` is on a line
    of its own.
    """

    wallet_seq: int
    balance: int
    combo: str
    repeat_count: int
    later_days: int
    user: str
    ref: str
    room: str
    to: str
    gift_id: str
    count: int
    coins: int
    diamonds: int
    anonymous: int
    payload_hash: str
    message: Raw
    shown: Raw


class SentGifts(Struct, frozen=True, array_like=True):
    """The gifts of one call, an entry without a tag whose position is the last one's. `day` is the first one's."""

    ts_ms: int
    day: int
    gifts: list[SentGift]


class StreakEnded(Struct, frozen=True, array_like=True, tag="streak_end"):
    """The end of a streak that got no further gift in time. Moves no money. Earlier versions have written it so."""

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


class StreakOver(Struct, frozen=True, array_like=True, tag="streak_over"):
    """The end of a streak as it is written; readers make a `StreakEnded` of it."""

    user: str
    room: str
    to: str
    gift_id: str
    combo_id: str
    repeat_count: int
    anonymous: bool
    ts_ms: int
    shown: Raw


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
