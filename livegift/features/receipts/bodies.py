"""The responses of the routes of receipts, histories and spending."""

from msgspec import UNSET, Struct, UnsetType, field

from livegift.contract.http import Currency, Micros, MinorUnits, Page
from livegift.contract.values import Coins, Id, TimeMs, UserId


class PaidPart(Struct, frozen=True):
    """Coins of a gift that came into the wallet together: for money, or free."""

    coins: Coins
    from_: str = field(name="from")
    ref: str
    amount_micros: Micros | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET


class PaidOut(Struct, frozen=True):
    """The payout that holds a gift's diamonds."""

    id: Id
    status: str
    ended_ms: TimeMs | None


class ReceiptView(Struct, frozen=True):
    """A gift and what became of it.

    `paid_with` is for its sender and operators, `payout` for its receiver and operators; `sender` is there for those
    who may know it.
    """

    gift_event_id: Id
    room: Id
    gift_id: Id
    count: int
    sent_ms: TimeMs
    booked_ms: TimeMs
    batch_id: int | None
    revoked: bool
    coins: Coins
    diamonds: int
    diamonds_usd_micros: int
    available_after_h: int
    receiver: UserId
    paid_with: list[PaidPart] | UnsetType = UNSET
    payout: PaidOut | UnsetType | None = UNSET
    sender: UserId | UnsetType = UNSET


class WalletChange(Struct, frozen=True):
    """A change of a wallet: `what` is `gift`, or the reason of the change. `coins` is signed."""

    wallet_seq: int
    ts_ms: TimeMs
    what: str
    ref: str
    coins: int
    balance: int
    gift_event_id: Id | UnsetType = UNSET
    room: Id | UnsetType = UNSET
    receiver: UserId | UnsetType = UNSET
    gift_id: Id | UnsetType = UNSET
    pieces: int | UnsetType = UNSET
    amount: MinorUnits | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET


class WalletHistory(Page[WalletChange], frozen=True):
    """The changes of a wallet, newest first."""


class SpentCoins(Struct, frozen=True):
    """Coins spent on gifts: today, this month, this year (UTC) and in total."""

    day: int
    month: int
    year: int
    total: int


class SpentMoney(Struct, frozen=True):
    """Money paid for coins, in minor units: today, this month, this year (UTC) and in total."""

    currency: Currency
    day: MinorUnits
    month: MinorUnits
    year: MinorUnits
    total: MinorUnits


class SpendView(Struct, frozen=True):
    """A user's spending."""

    coins: SpentCoins
    money: list[SpentMoney]
