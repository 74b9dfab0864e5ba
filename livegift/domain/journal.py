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


class StreakEnded(Struct, frozen=True, array_like=True, tag="streak_end"):
    """A streak got no further gift in time. Moves no money."""

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


class WalletChanged(Struct, frozen=True, array_like=True, tag="change"):
    """A credit (`delta` > 0) or a correction (any `delta`) of a wallet, with the reason that names its other leg."""

    user: str
    wallet_seq: int
    balance: int
    ref: str
    delta: int
    reason: str
    ts_ms: int


Entry = GiftSent | StreakEnded | WalletChanged
