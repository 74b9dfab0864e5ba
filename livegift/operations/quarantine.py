"""Decisions about entries in quarantine: book them after all, or drop them and give the coins back."""

import msgspec
import structlog

from livegift.contract.errors import RequestError
from livegift.contract.journal import GiftSent, WalletChanged
from livegift.domain.partitions import Position
from livegift.domain.spending import Accepted, Change
from livegift.ledger.engine import Database
from livegift.ledger.journal import UnbookableError, book_quarantined
from livegift.ledger.participants import BookingPlan
from livegift.ledger.quarantine import Quarantined, close_quarantined, lock_quarantined
from livegift.store.wallets import Wallets, payload_hash

log = structlog.get_logger()


def _open(found: Quarantined | None, name: str) -> Quarantined:
    if found is None:
        raise RequestError("not_found", f"there is no entry {name} in quarantine: `livegift quarantine list` shows all")
    if found.status != "open":
        raise RequestError("conflict", f"entry {name} was {found.status} before")
    return found


async def retry(database: Database, plan: BookingPlan, partition: int, position: Position) -> str:
    """Book an entry that this version can decode. Returns a line that says so; raises RequestError if it can't."""
    name = f"{partition}-{position}"
    async with database.begin() as connection:
        found = _open(await lock_quarantined(connection, partition, position), name)
        try:
            entry = found.decode()
            if isinstance(entry, WalletChanged) and entry.reason not in plan.reasons:
                raise UnbookableError(f"unknown reason {entry.reason!r}")
            booked = await book_quarantined(connection, plan, found, entry)
        except (msgspec.MsgspecError, UnicodeDecodeError, UnbookableError) as error:
            raise RequestError("invalid", f"entry {name} still can't be booked: {error}") from error
        await close_quarantined(connection, found, "booked", None)
    log.info("quarantine.booked", entry=name, batch_id=booked.batch_id)
    return f"{name}: booked in batch {booked.batch_id}"


async def drop(database: Database, wallets: Wallets, partition: int, position: Position, reason: str) -> str:
    """Close an entry for good. A gift's coins go back to the sender; coins that a wallet got stay, owed by suspense.

    Raises RequestError while it is unknown whose wallet it was, StoreUnavailableError to repeat it.
    """
    name = f"{partition}-{position}"
    async with database.begin() as connection:
        found = _open(await lock_quarantined(connection, partition, position), name)
        if found.user is None and _moves_coins(found):
            raise RequestError(
                "conflict",
                f"it is not known yet whose wallet entry {name} has changed: the wallet's next entry shows it",
            )
        refunded = 0
        if found.user is not None and found.coins is not None and found.coins < 0:
            refunded = -found.coins
            change = Change(
                found.user,
                f"quarantine:{name}",
                payload_hash("quarantine", name, refunded),
                refunded,
                "suspense",
            )
            outcome = await wallets.change(change)  # a ref of its own: repeating this gives nothing twice
            if not isinstance(outcome, Accepted):
                raise RequestError("conflict", f"the coins of entry {name} could not be given back: {outcome}")
        await close_quarantined(connection, found, "dropped", reason)
    log.info("quarantine.dropped", entry=name, user=found.user, coins=refunded, reason=reason)
    return f"{name}: dropped, {refunded} coins back to {found.user}" if refunded else f"{name}: dropped"


def _moves_coins(found: Quarantined) -> bool:
    try:
        return isinstance(found.decode(), GiftSent | WalletChanged)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
