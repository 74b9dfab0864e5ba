"""The responses of the wallet's routes."""

from msgspec import UNSET, Struct, UnsetType


class WalletView(Struct, frozen=True):
    """A wallet after its change `seq`. A frozen one has `frozen_reason`, null while that is unknown."""

    balance: int
    seq: int
    frozen: bool
    frozen_reason: str | UnsetType | None = UNSET
