"""The effect of journal entries on wallets."""

from dataclasses import dataclass

from livegift.contract.journal import Entry, GiftSent, WalletChanged


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry that can't be booked: its bytes, the reason, and the decoded entry if it is legible."""

    raw: bytes
    error: str
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class WalletEffect:
    """The effect of an entry on a wallet: it moves `delta` coins and leaves the wallet at `seq` and `balance`."""

    user: str
    delta: int
    seq: int
    balance: int


def wallet_effect(entry: Entry | Poison | None) -> WalletEffect | None:
    """Return the effect of an entry on its wallet; None if it moves no coins or is not legible."""
    if isinstance(entry, Poison):
        entry = entry.entry
    if isinstance(entry, GiftSent):
        return WalletEffect(entry.user, -entry.coins, entry.wallet_seq, entry.balance)
    if isinstance(entry, WalletChanged):
        return WalletEffect(entry.user, entry.delta, entry.wallet_seq, entry.balance)
    return None
