"""The reasons of frozen wallets, for their users."""

from contextlib import suppress

from livegift.ledger.allowances import frozen_why
from livegift.ledger.engine import LedgerUnavailableError
from livegift.resources.resources import Resources


async def frozen_reason(resources: Resources, user: str) -> str | None:
    """Return why a frozen wallet is frozen; None while the ledger has not booked it yet, or is away."""
    with suppress(LedgerUnavailableError):
        return await frozen_why(resources.database, user)
    return None
