"""What the entries of a journal do to wallets."""

from dataclasses import dataclass

from livegift.contract.journal import Entry, GiftSent, WalletChanged


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry that can't be booked: its bytes, why not, and what it says, where that is legible."""

    raw: bytes
    error: str
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class WalletStep:
    """What an entry does to a wallet: `delta` coins, after which it has `seq` and `balance`."""

    user: str
    delta: int
    seq: int
    balance: int


def wallet_step(entry: Entry | Poison | None) -> WalletStep | None:
    """The wallet's step of an entry, None for one that moves no coins or does not tell."""
    if isinstance(entry, Poison):
        entry = entry.entry
    if isinstance(entry, GiftSent):
        return WalletStep(entry.user, -entry.coins, entry.wallet_seq, entry.balance)
    if isinstance(entry, WalletChanged):
        return WalletStep(entry.user, entry.delta, entry.wallet_seq, entry.balance)
    return None
