"""What the wallet's routes answer."""

from msgspec import UNSET, Struct, UnsetType


class WalletView(Struct, frozen=True):
    """A wallet after its change `seq`. `frozen_reason` is there when it is frozen, null while it is not known."""

    balance: int
    seq: int
    frozen: bool
    frozen_reason: str | UnsetType | None = UNSET
