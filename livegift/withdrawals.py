"""A buyer gives an order back: the coins are taken first, in Redis and without overdraw, and only then the money goes.

Each step can be repeated by anybody. An order that is `withdrawing` and whose coins are not booked as taken has them
taken, or, where they are not there any more, is what it was before. Once they are booked the provider is asked for the
money: what is booked is on disk, so no crash of Redis can give coins back whose money is gone. Where the provider
refuses for good the order is `restoring` and the coins come back. See docs/decisions/021.
"""

import asyncio
from collections.abc import Mapping

import structlog

from livegift.domain.orders import REVERSED, begin_withdrawal, coins_refused, money_refused
from livegift.domain.regions import region_of
from livegift.errors import RequestError, StoreUnavailableError
from livegift.ledger import orders as stored
from livegift.ledger.engine import Database
from livegift.ledger.hold_backs import RefundTerms
from livegift.ledger.orders import StoredOrder
from livegift.limits import (
    SWEEP_WITHDRAWALS_MAX,
    SWEEP_WITHDRAWALS_S,
    WITHDRAWAL_POLL_S,
    WITHDRAWAL_WAIT_S,
)
from livegift.orders import hear, settle
from livegift.payments.provider import PaymentEvent, Provider, ProviderError, ProviderRefusedError
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
    """Give an order back at the buyer's own wish, within the region's time for that and before its coins are spent.

    Returns the order: refunded, or still withdrawing when that takes longer (the sweep goes on with it), or restoring
    when the provider has refused. Raises RequestError('not_found', 'order_not_paid', 'too_late', 'wallet_frozen',
    'conflict' or 'payments_off').
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
    """What is looked at before anything moves."""
    cooling_off_h = region_of(found.region).cooling_off_h
    if found.paid_age_s is not None and found.paid_age_s > cooling_off_h * 3_600:
        raise RequestError("too_late", f"Orders of this region can be given back within {cooling_off_h} h.")
    if found.order.provider not in providers:
        raise RequestError("payments_off", f"The provider of this order, {found.order.provider}, is not set up.")
    if (await wallets.read(found.order.user)).frozen:
        raise RequestError("wallet_frozen")


async def _moved(database: Database, found: StoredOrder, *, begin: bool = False) -> StoredOrder:
    step = begin_withdrawal if begin else coins_refused
    return await stored.move_order(database, found.order.id, step) or found


async def _take(database: Database, wallets: Wallets, found: StoredOrder) -> StoredOrder:
    """Take the coins, unless they are; raises RequestError('too_late') when they are not there.

    Raises StoreUnavailableError: whether they were taken is told by the booking, or by the next try.
    """
    if found.order.status != "withdrawing" or found.order.coins_are_back:
        return found
    try:
        await settle(wallets, found)
    except RequestError:
        # Unless another try has found them meanwhile: then that is booked soon, and the order goes on.
        await _moved(database, found)
        raise
    return found


async def _pay(
    database: Database, wallets: Wallets, providers: Mapping[str, Provider], found: StoredOrder, terms: RefundTerms
) -> StoredOrder:
    """Have the money given back for coins that are booked as taken. Raises ProviderError: then repeat it."""
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
            await settle(wallets, found)
            return found
        event = PaymentEvent(
            f"withdraw-{order.id}{order.round_suffix}", "refunded", order.id, None, order.amount, order.currency
        )
        await hear(database, wallets, order.provider, event, terms)
    return await stored.read_order(database, order.id) or found


async def finish_withdrawals(
    database: Database, wallets: Wallets, providers: Mapping[str, Provider], terms: RefundTerms
) -> None:
    """What the aggregator does from time to time: go on with withdrawals that crashes or time-outs have left.

    A provider that does not answer is asked no more in the same round.
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
