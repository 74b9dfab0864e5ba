"""Grants of coins: recorded in the ledger, credited in Redis, booked by the aggregator. Each step can be repeated."""

import structlog

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.domain.money import amount
from livegift.domain.spending import Accepted, Change
from livegift.features.grants.queries import Grant, begin_grant, pending_grants
from livegift.ledger.engine import Database
from livegift.runtime.bounds import SWEEP_GRANTS_MAX, SWEEP_GRANTS_S
from livegift.store.wallets import Wallets, payload_hash

log = structlog.get_logger()


async def grant_coins(database: Database, wallets: Wallets, ref: str, user: str, coins: int) -> bool:
    """Credit `coins` to `user`, once per `ref`. When it returns, they can be spent; False if they were credited before.

    Raises RequestError('ref_conflict') for a ref that was used for something else, StoreUnavailableError or
    LedgerUnavailableError when the outcome is unknown: then repeat the same ref.
    """
    grant = await begin_grant(database, ref, user, amount(coins))
    if (grant.user, grant.coins) != (user, coins):
        raise RequestError(
            "ref_conflict", f"ref {ref} was used for {grant.coins} coins to {grant.user}, not for {coins} to {user}"
        )
    if grant.status == "credited":
        return False
    return await _credit(wallets, grant)


async def _credit(wallets: Wallets, grant: Grant) -> bool:
    """Credit a grant. Returns whether this call has credited it."""
    change = Change(
        grant.user,
        f"grant:{grant.ref}",
        payload_hash("grant", grant.user, grant.coins),
        grant.coins,
        "grant",
    )
    outcome = await wallets.change(change)
    if isinstance(outcome, Accepted):
        return not outcome.duplicate
    raise RequestError("invalid", f"grant {grant.ref} was refused: {outcome}")


async def repeat_pending_grants(database: Database, wallets: Wallets) -> None:
    """Repeat the credit of grants that are recorded but not booked after a while. Refs make that harmless."""
    for grant in await pending_grants(database, SWEEP_GRANTS_S, wallets.ref_ttl_s, SWEEP_GRANTS_MAX):
        try:
            if await _credit(wallets, grant):
                log.warning("grants.finished_late", ref=grant.ref, user=grant.user, coins=grant.coins)
        except RequestError as error:
            log.error("grants.refused", ref=grant.ref, error=str(error))
        except StoreUnavailableError as error:
            # One partition that takes no money holds up nobody else's.
            log.warning("grants.not_finished", ref=grant.ref, error=str(error))
