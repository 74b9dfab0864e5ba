"""Corrections and revocations: decided in the ledger, moved in Redis, applied when that is booked; all repeatable."""

import structlog

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.domain.spending import Accepted, Change
from livegift.features.corrections import queries as stored
from livegift.features.corrections.rules import Correction
from livegift.ledger.engine import Database
from livegift.ledger.schema import read_event_id_key
from livegift.runtime.access import require_room
from livegift.runtime.bounds import SWEEP_CORRECTIONS_MAX, SWEEP_CORRECTIONS_S
from livegift.runtime.event_ids import EventIds
from livegift.runtime.identity import Identity
from livegift.store.wallets import Wallets, payload_hash

log = structlog.get_logger()
# Who approves what the region's rules allow by themselves.
UNDO = "undo-window"


async def _event_ids(database: Database) -> EventIds:
    return EventIds(await read_event_id_key(database))


async def decide(database: Database, wallets: Wallets, correction_id: str, by: str, *, approve: bool) -> Correction:
    """Approve or reject a correction. Raises RequestError: see `rules.decide`.

    The decision is durable when this returns; coins that could not be moved now are moved by the aggregator's sweep.
    """
    decided = await stored.record_decision(database, correction_id, by, approve=approve)
    # Without the user: the id of somebody who undid an anonymous gift would reveal who sent it.
    log.info("corrections.decided", correction=decided.id, status=decided.status)
    if decided.status != "approved":
        return decided
    try:
        return await move_coins(database, wallets, decided)
    except StoreUnavailableError as error:
        log.warning("corrections.settled_later", correction=decided.id, error=str(error))
        return decided


async def undo(
    database: Database, wallets: Wallets, event_id: str, by: Identity, coins_min: int, window_s: int
) -> Correction:
    """Revoke a gift at its sender's request: once, and only an expensive one that was sent a moment ago.

    `event_id` is its position in the journals; the correction, which its creator sees too, has the public id. Raises
    RequestError('not_found', 'forbidden' or 'too_late').
    """
    correction_id = f"undo:{(await _event_ids(database)).of(event_id)}"
    wanted = await stored.revocation_of(database, correction_id, event_id, "undone by the sender", by.user)
    if wanted.user != by.user or wanted.gift is None:
        raise RequestError("not_found", "You have sent no such gift.")
    require_room(by, wanted.gift.room)
    if wanted.coins < coins_min:
        raise RequestError(
            "too_late", f"Gifts of {coins_min} coins and more can be undone, this one has {wanted.coins}."
        )
    if not window_s or not await stored.is_younger(database, event_id, window_s):
        raise RequestError("too_late", f"A gift can be undone within {window_s} s after it was sent.")
    noted = await stored.request(database, wanted)
    return await decide(database, wallets, noted.id, UNDO, approve=True)


async def move_coins(database: Database, wallets: Wallets, approved: Correction) -> Correction:
    """Move the coins of an approved correction, once.

    The journal's entry carries everything else: the relay brings a revoked gift to its room, and when the entry is
    booked, its diamonds and what sponsors have added go back.

    Raises StoreUnavailableError or LedgerUnavailableError.
    """
    outcome = await wallets.change(
        Change(
            approved.user,
            approved.ref,
            payload_hash(approved.reason, approved.id, approved.user, approved.coins),
            approved.coins,
            approved.reason,
            revokes=await stored.revoked_gift(database, approved),
        )
    )
    if isinstance(outcome, Accepted):
        return approved
    log.warning("corrections.refused", correction=approved.id, outcome=str(outcome))
    return await stored.mark_refused(database, approved)


async def finish_corrections(database: Database, wallets: Wallets) -> None:
    """Move the coins of approved corrections that are not booked; the aggregator calls it periodically."""
    found = await stored.unapplied(database, SWEEP_CORRECTIONS_S, wallets.ref_ttl_s, SWEEP_CORRECTIONS_MAX)
    for correction in found:
        try:
            await move_coins(database, wallets, correction)
        except StoreUnavailableError as error:
            # One partition that takes no money holds up nobody else's.
            log.warning("corrections.not_finished", correction=correction.id, error=str(error))
        else:
            log.warning("corrections.finished_late", correction=correction.id)
