"""Orders: created in the ledger, paid at a provider, credited in Redis, booked by the aggregator; all repeatable."""

import asyncio
from collections.abc import Mapping, Sequence
from secrets import token_hex

import structlog

from livegift.contract.errors import RequestError, StoreUnavailableError
from livegift.domain.catalogue import CoinPackage
from livegift.domain.currencies import CurrencyError, currency_of
from livegift.domain.spending import Accepted, Change, Refused
from livegift.features.earnings.public import RefundTerms
from livegift.features.orders import queries as stored
from livegift.features.orders.bodies import OrderRequest
from livegift.features.orders.errors import ORDER_NOT_PAID, PACKAGE_NOT_FOUND, PAYMENT_REFUSED, PAYMENTS_OFF
from livegift.features.orders.metrics import PAYMENT_EVENTS
from livegift.features.orders.offers import Offered
from livegift.features.orders.payment_events import ProviderEvent, apply, forget_early_events
from livegift.features.orders.prices import read_prices
from livegift.features.orders.queries import NewOrder, StoredOrder
from livegift.features.orders.rules import (
    FOR_A_PERSON,
    REVERSED,
    UNPAID,
    CoinPrice,
    DueChange,
    Order,
    Outcome,
    base_price,
    due_credits,
    due_returns,
    shortfall_offer,
)
from livegift.features.orders.sandbox import SandboxPayments
from livegift.features.orders.settings import OrderSettings
from livegift.ledger.engine import Database
from livegift.payments.provider import CheckoutRequest, PaymentEvent, Provider, ProviderRefusedError
from livegift.payments.sandbox import Sandbox
from livegift.resources.resources import Stores
from livegift.runtime.bounds import (
    EARLY_EVENTS_KEEP_S,
    ORDER_TTL_S,
    REINSTATE_POLL_S,
    REINSTATE_WAIT_S,
    SWEEP_ORDERS_MAX,
    SWEEP_ORDERS_S,
)
from livegift.runtime.settings import Settings, secrets_of
from livegift.store.wallets import Wallets, payload_hash

log = structlog.get_logger()


def providers_of(stores: Stores) -> Mapping[str, Provider]:
    """Return the process's providers, beginning with the one that takes new orders."""
    return stores.once(_providers_of)


def _providers_of(stores: Stores) -> Mapping[str, Provider]:
    return make_providers(stores.settings, stores.database)


def make_providers(settings: Settings, database: Database) -> dict[str, Provider]:
    """Create the providers that are configured, beginning with the one that takes new orders."""
    providers: dict[str, Provider] = {}
    mine = settings.of(OrderSettings)
    if mine.stripe_api_key:
        # Only who uses it waits for it to load.
        from livegift.payments.stripe import Stripe  # noqa: PLC0415

        secrets = secrets_of(mine.stripe_webhook_secrets)
        providers[Stripe.name] = Stripe(mine.stripe_api_key, secrets, mine.stripe_api_base)
    if secrets_of(mine.sandbox_secrets):
        providers[Sandbox.name] = Sandbox(secrets_of(mine.sandbox_secrets), SandboxPayments(database))
    return providers


def refund_terms_of(settings: Settings) -> RefundTerms:
    """Return what refunds cost creators."""
    return RefundTerms(settings.of(OrderSettings).refund_policy, settings.hold_h)


# --- Making one -------------------------------------------------------------------------------------------------------


async def offer_of(
    database: Database, provider: Provider, body: OrderRequest, user: str, region: str, lacking: int | None
) -> NewOrder:
    """Return the order that `body` asks for, at today's price; `lacking` are the coins that its gift needs in addition.

    Raises RequestError('invalid' or 'package_not_found').
    """
    if [body.package_id, body.shortfall_coins, body.shortfall].count(None) != 2:  # noqa: PLR2004 - one of three
        raise RequestError("invalid", "expected one of package_id, shortfall_coins and shortfall")
    coins = body.shortfall_coins if lacking is None else lacking
    prices = await read_prices(database, region, user)
    packages = prices.packages
    order_id = f"ord-{token_hex(12)}"
    request_hash = payload_hash("order", body.package_id, body.shortfall_coins, body.shortfall, region)
    if coins is not None:
        shortfall = _shortfall_order(order_id, user, coins, packages, provider, region)
        return NewOrder(shortfall, region, request_hash, priced_region=prices.priced_region)
    package = next((package for package in packages if package.id == body.package_id), None)
    if package is None:
        raise RequestError(PACKAGE_NOT_FOUND, f"There is no coin package {body.package_id} in region {region}.")
    bonus_coins = package.bonus_coins + package.promotion_coins
    order = Order(order_id, user, package.coins, bonus_coins, package.amount, package.currency, provider.name)
    offered = Offered(package.coins, bonus_coins, package.promotion_coins, package.amount_before)
    return NewOrder(
        order,
        region,
        request_hash,
        package_id=package.id,
        promotion_id=package.promotion_id,
        offered=offered,
        priced_region=prices.priced_region,
    )


def _shortfall_order(
    order_id: str, user: str, coins: int, packages: Sequence[CoinPackage], provider: Provider, region: str
) -> Order:
    price = base_price(CoinPrice(package.coins, package.amount_before, package.currency) for package in packages)
    if price is None:
        raise RequestError(PACKAGE_NOT_FOUND, f"No coins are sold in region {region}.")
    try:
        step = currency_of(price.currency).price_step
        offer = shortfall_offer(coins, price, provider.amount_min(price.currency), step)
    except CurrencyError as error:
        raise RequestError(PAYMENT_REFUSED, str(error)) from None
    return Order(order_id, user, offer.coins, 0, offer.amount, offer.currency, provider.name)


async def place(database: Database, provider: Provider, new: NewOrder, base_url: str) -> StoredOrder:
    """Write an order and create its checkout. The same Idempotency-Key again is the same order.

    Raises RequestError('ref_conflict') for a key that was used for something else, ProviderRefusedError for what can't
    be paid; ProviderError: try it again. A crash between the two steps leaves an order without a checkout, which the
    same key again gives it.
    """
    order = await stored.create_order(database, new)
    if order.request_hash != new.request_hash:
        raise RequestError("ref_conflict", "This Idempotency-Key was used before with another content: use a new one.")
    if order.checkout_url is not None or order.order.provider != provider.name:
        return order
    made = order.order
    request = CheckoutRequest(made.id, made.user, made.total_coins, made.amount, made.currency, base_url)
    try:
        checkout = await provider.checkout(request)
    except ProviderRefusedError:
        await stored.close_unpayable(database, made.id)
        raise
    await stored.note_checkout(database, made.id, checkout.ref, checkout.url)
    placed = await stored.read_order(database, made.id)
    assert placed is not None  # noqa: S101 - orders are never deleted
    return placed


# --- What becomes of it -----------------------------------------------------------------------------------------------


async def apply_provider_event(
    database: Database, wallets: Wallets, provider: str, event: PaymentEvent, terms: RefundTerms
) -> None:
    """Apply a verified event, then move the coins. An event that is not about our orders is counted only.

    The event is durable when this returns; coins that could not be moved now are moved by the aggregator's sweep.
    """
    named = ProviderEvent(
        provider,
        event.id,
        event.kind,
        event.order_id,
        event.payment_ref,
        event.amount,
        event.currency,
        event.session_ref,
        event.reversal_ref,
    )
    applied = await _apply_when_booked(database, named, terms)
    if applied is None:
        PAYMENT_EVENTS.labels(provider, "foreign").inc()
        log.info("orders.foreign_event", provider=provider, kind=event.kind, event_id=event.id)
        return
    order, outcome = applied
    PAYMENT_EVENTS.labels(provider, outcome or "repeated").inc()
    log.info("orders.event", order=order.order.id, kind=event.kind, outcome=outcome or "repeated")
    if outcome in FOR_A_PERSON:
        log.error("orders.needs_a_person", order=order.order.id, kind=event.kind, amount=event.amount, outcome=outcome)
    try:
        await move_due_coins(wallets, order)
    except StoreUnavailableError as error:
        log.warning("orders.settled_later", order=order.order.id, error=str(error))


async def _apply_when_booked(
    database: Database, event: ProviderEvent, terms: RefundTerms
) -> tuple[StoredOrder, Outcome | None] | None:
    """Apply an event.

    When money comes again, wait briefly until the coins taken are booked; else the provider repeats it.
    """
    deadline = asyncio.get_running_loop().time() + REINSTATE_WAIT_S
    while True:
        try:
            return await apply(database, event, terms)
        except RequestError as error:
            if error.code != "unavailable" or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(REINSTATE_POLL_S)


async def refund(
    database: Database, wallets: Wallets, providers: Mapping[str, Provider], order_id: str, terms: RefundTerms
) -> StoredOrder:
    """Return the money and take the coins back, once. Raises RequestError, or ProviderError: then repeat it.

    The provider comes first: after a crash in between, its own webhook says what has happened.
    """
    found = await stored.read_order(database, order_id)
    if found is None:
        raise RequestError("not_found", f"There is no order {order_id}.")
    order = found.order
    if order.status in UNPAID:
        raise RequestError(ORDER_NOT_PAID)
    if order.status not in REVERSED:
        provider = providers.get(order.provider)
        if provider is None:
            raise RequestError(PAYMENTS_OFF, f"The provider of this order, {order.provider}, is not set up.")
        await provider.refund(order.id + order.round_suffix, found.payment_ref, order.amount)
        event = PaymentEvent(
            f"admin-{order.id}{order.round_suffix}", "refunded", order.id, None, order.amount, order.currency
        )
        await apply_provider_event(database, wallets, order.provider, event, terms)
    after = await stored.read_order(database, order_id)
    assert after is not None  # noqa: S101 - orders are never deleted
    return after


async def move_due_coins(wallets: Wallets, found: StoredOrder) -> bool:
    """Move the coins that are due and not booked; returns whether this call has moved any.

    Raises StoreUnavailableError. Changes older than refs are remembered are left alone: they might be made twice, so a
    person has to look (the audit names them).
    """
    order, moved = found.order, False
    credits_due, returns_due = due_credits(order), due_returns(order)
    if credits_due and (found.paid_age_s is None or found.paid_age_s >= wallets.ref_ttl_s):
        return False
    if returns_due and (found.reversed_age_s is None or found.reversed_age_s >= wallets.ref_ttl_s):
        return False
    for due in (*credits_due, *returns_due):
        moved = await _make_change(wallets, order, due) or moved
    return moved


async def _make_change(wallets: Wallets, order: Order, due: DueChange) -> bool:
    change = Change(
        order.user,
        due.ref,
        payload_hash(due.reason, order.id, order.user, due.delta),
        due.delta,
        due.reason,
        # A buyer's own withdrawal needs the coins to be there; money that went back otherwise takes the coins anyhow.
        overdraw=due.delta < 0 and order.status in REVERSED,
    )
    outcome = await wallets.change(change)
    if isinstance(outcome, Accepted):
        return not outcome.duplicate
    if order.status == "withdrawing" and isinstance(outcome, Refused) and outcome.code == "insufficient_coins":
        raise RequestError("too_late", "Its coins are spent already, at least in part.")
    raise RequestError("invalid", f"order {order.id}: {due.ref} was refused: {outcome}")


async def finish_orders(database: Database, wallets: Wallets) -> None:
    """Finish orders and close those that nobody has paid; the aggregator calls it periodically."""
    for found in await stored.unfinished_orders(database, SWEEP_ORDERS_S, wallets.ref_ttl_s, SWEEP_ORDERS_MAX):
        try:
            if await move_due_coins(wallets, found):
                log.warning("orders.finished_late", order=found.order.id, status=found.order.status)
        except RequestError as error:
            log.error("orders.refused", order=found.order.id, error=str(error))
        except StoreUnavailableError as error:
            # One partition that takes no money holds up nobody else's.
            log.warning("orders.not_finished", order=found.order.id, error=str(error))
    expired = await stored.expire_orders(database, ORDER_TTL_S)
    if expired:
        log.info("orders.expired", count=expired)
    await forget_early_events(database, EARLY_EVENTS_KEEP_S)
