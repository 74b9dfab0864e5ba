"""Withdrawals: the coins are taken first, in Redis and without overdraw, and only then the money is returned.

Each step may be repeated by any process. When an order is `withdrawing` and its coins are not booked as taken, they are
taken; if they are gone, the order becomes what it was before. Once they are booked, the provider is asked to return the
money: what is booked is on disk, so no crash of Redis can give back coins whose money is gone. When the provider
refuses for good, the order is `restoring` and the coins come back. See docs/decisions/021.
"""

import asyncio
from collections.abc import Mapping

import structlog

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.domain.regions import region_of
from livegift.features.earnings.public import RefundTerms
from livegift.features.orders import queries as stored
from livegift.features.orders.errors import PAYMENTS_OFF
from livegift.features.orders.queries import StoredOrder
from livegift.features.orders.rules import REVERSED, begin_withdrawal, coins_refused, money_refused
from livegift.features.orders.service import apply_provider_event, move_due_coins
from livegift.ledger.engine import Database
from livegift.payments.provider import PaymentEvent, Provider, ProviderError, ProviderRefusedError
from livegift.runtime.bounds import (
    SWEEP_WITHDRAWALS_MAX,
    SWEEP_WITHDRAWALS_S,
    WITHDRAWAL_POLL_S,
    WITHDRAWAL_WAIT_S,
)
from livegift.store.wallets import Wallets

log = structlog.get_logger()


async def withdraw(
    database: Database,
    wallets: Wallets,
    providers: Mapping[str, Provider],
    order_id: str,
    user: str,
    terms: RefundTerms,
) -> StoredOrder:
    """Withdraw an order for its buyer, within the region's cooling-off period and before its coins are spent.

    Returns the order: refunded, or still withdrawing if it takes longer (the sweep continues it), or restoring when the
    provider has refused. Raises RequestError('not_found', 'order_not_paid', 'too_late', 'wallet_frozen', 'conflict' or
    'payments_off').
    """
    found = await stored.read_order(database, order_id)
    if found is None or found.order.user != user:
        raise RequestError("not_found", "You have no such order.")
    if found.order.status in REVERSED:
        return found
    if found.order.status != "withdrawing":
        await _check(wallets, providers, found)
    found = await _moved(database, found, begin=True)
    log.info("withdrawals.begun", order=order_id, user=user)
    try:
        found = await _take(database, wallets, found)
        deadline = asyncio.get_running_loop().time() + WITHDRAWAL_WAIT_S
        while found.order.status == "withdrawing" and not found.order.coins_are_back:
            if asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(WITHDRAWAL_POLL_S)
            found = await stored.read_order(database, order_id) or found
        return await _pay(database, wallets, providers, found, terms)
    except (StoreUnavailableError, ProviderError) as error:
        log.warning("withdrawals.finished_later", order=order_id, error=str(error))
        return await stored.read_order(database, order_id) or found


async def _check(wallets: Wallets, providers: Mapping[str, Provider], found: StoredOrder) -> None:
    """Check the preconditions, before anything moves."""
    cooling_off_h = region_of(found.region).cooling_off_h
    if found.paid_age_s is not None and found.paid_age_s > cooling_off_h * 3_600:
        raise RequestError("too_late", f"Orders of this region can be given back within {cooling_off_h} h.")
    if found.order.provider not in providers:
        raise RequestError(PAYMENTS_OFF, f"The provider of this order, {found.order.provider}, is not set up.")
    if (await wallets.read(found.order.user)).frozen:
        raise RequestError("wallet_frozen")


async def _moved(database: Database, found: StoredOrder, *, begin: bool = False) -> StoredOrder:
    step = begin_withdrawal if begin else coins_refused
    return await stored.move_order(database, found.order.id, step) or found


async def _take(database: Database, wallets: Wallets, found: StoredOrder) -> StoredOrder:
    """Take the coins, unless they are taken. Raises RequestError('too_late') when they are not there.

    Raises StoreUnavailableError: then the booking, or the next try, shows whether they were taken.
    """
    if found.order.status != "withdrawing" or found.order.coins_are_back:
        return found
    try:
        await move_due_coins(wallets, found)
    except RequestError:
        # Unless another try has taken them meanwhile: then that is booked soon, and the order goes on.
        await _moved(database, found)
        raise
    return found


async def _pay(
    database: Database, wallets: Wallets, providers: Mapping[str, Provider], found: StoredOrder, terms: RefundTerms
) -> StoredOrder:
    """Have the money returned for coins that are booked as taken. Raises ProviderError: then repeat it."""
    order = found.order
    if order.status == "withdrawing" and order.coins_are_back:
        provider = providers.get(order.provider)
        if provider is None:
            raise ProviderError(f"the provider {order.provider} is not set up")
        try:
            await provider.refund(order.id + order.round_suffix, found.payment_ref, order.amount)
        except ProviderRefusedError as error:
            log.error("withdrawals.refused", order=order.id, error=str(error))
            found = await stored.move_order(database, order.id, money_refused) or found
            await move_due_coins(wallets, found)
            return found
        event = PaymentEvent(
            f"withdraw-{order.id}{order.round_suffix}", "refunded", order.id, None, order.amount, order.currency
        )
        await apply_provider_event(database, wallets, order.provider, event, terms)
    return await stored.read_order(database, order.id) or found


async def finish_withdrawals(
    database: Database, wallets: Wallets, providers: Mapping[str, Provider], terms: RefundTerms
) -> None:
    """Continue withdrawals left by crashes or time-outs; the aggregator calls it periodically.

    A provider that does not answer is not asked again in the same round.
    """
    silent: set[str] = set()
    for found in await stored.open_withdrawals(database, SWEEP_WITHDRAWALS_S, SWEEP_WITHDRAWALS_MAX):
        order = found.order
        try:
            found = await _take(database, wallets, found)  # noqa: PLW2901 - the same order, later
            if order.provider not in silent and order.coins_are_back:
                await _pay(database, wallets, providers, found, terms)
                log.warning("withdrawals.finished_late", order=order.id)
        except RequestError as error:
            log.info("withdrawals.too_late", order=order.id, reason=str(error))
        except ProviderError as error:
            silent.add(order.provider)
            log.warning("withdrawals.not_paid", order=order.id, error=str(error))
        except StoreUnavailableError as error:
            log.warning("withdrawals.not_finished", order=order.id, error=str(error))
