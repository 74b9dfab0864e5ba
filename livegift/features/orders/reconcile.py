"""`livegift reconcile`: compare a provider's payments with the orders."""

import time

from livegift.contract.errors import ConfigError
from livegift.features.orders.queries import orders_to_reconcile
from livegift.features.orders.rules import differences
from livegift.features.orders.service import make_providers
from livegift.ledger.engine import Database
from livegift.runtime.bounds import RECONCILE_MARGIN_S
from livegift.runtime.settings import Settings


async def reconcile(settings: Settings, provider_name: str, since_s: float) -> tuple[int, list[str]]:
    """Return how many payments were compared, and the differences, one sentence each.

    Raises ConfigError, ProviderError or LedgerUnavailableError.
    """
    database = Database(settings.database_url)
    try:
        providers = make_providers(settings, database)
        if provider_name not in providers:
            raise ConfigError(f"expected one of {', '.join(providers) or 'no provider at all'}, got {provider_name}")
        payments = [payment async for payment in providers[provider_name].payments(since_s - RECONCILE_MARGIN_S)]
        ids = [payment.order_id for payment in payments if payment.order_id]
        found = await orders_to_reconcile(database, provider_name, since_s, ids)
        # Before `since` only what the provider has named is compared.
        return len(payments), differences(found, payments)
    finally:
        await database.aclose()


def days_ago(days: float) -> float:
    """Return the time `days` ago, in seconds since the epoch."""
    return time.time() - days * 86_400
