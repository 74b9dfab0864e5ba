"""The feature's offers to the rest of the system."""

from functools import partial

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.orders import odd_payment_routes, payment_routes, routes, tables
from livegift.features.orders.checks import overdrafts, wrong_orders
from livegift.features.orders.errors import ERRORS
from livegift.features.orders.metrics import PAYMENT_EVENTS
from livegift.features.orders.payment_checks import wrong_payments
from livegift.features.orders.queries import REASONS, mark_booked
from livegift.features.orders.service import finish_orders, providers_of, refund_terms_of
from livegift.features.orders.settings import OrderSettings
from livegift.features.orders.withdrawals import finish_withdrawals
from livegift.features.slots import Background, Feature
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.ledger.participants import Participant
from livegift.operations.audit import Invariant, Seen
from livegift.resources.resources import Stores
from livegift.runtime.bounds import SWEEP_ORDERS_S, SWEEP_WITHDRAWALS_S
from livegift.runtime.sweeps import Sweep


def _background(stores: Stores) -> Background:
    database, wallets, settings = stores.database, stores.wallets, stores.settings
    providers, terms = providers_of(stores), refund_terms_of(settings)
    return Background(
        (
            Sweep("orders", SWEEP_ORDERS_S, partial(finish_orders, database, wallets)),
            Sweep("withdrawals", SWEEP_WITHDRAWALS_S, partial(finish_withdrawals, database, wallets, providers, terms)),
        )
    )


async def _wrong_orders(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    compared, wrong = await wrong_orders(connection, seen.ref_ttl_s, EXAMPLES_MAX)
    return compared, wrong + await wrong_payments(connection, EXAMPLES_MAX)


async def _overdrafts(connection: AsyncConnection, _: Seen) -> tuple[int, list[str]]:
    return 0, await overdrafts(connection, EXAMPLES_MAX)


FEATURE = Feature(
    "orders",
    routes=(*odd_payment_routes.ROUTES, *payment_routes.ROUTES, *routes.ROUTES),
    errors=ERRORS,
    on_start=(providers_of,),
    reasons=REASONS,
    booking=(Participant("orders", 60, mark_booked),),
    background=_background,
    invariants=(
        Invariant(4, None, _overdrafts),
        Invariant(
            6,
            "every order has exactly the entries and money that its status says, by a payment of its own, back for a "
            "reason",
            _wrong_orders,
        ),
    ),
    overdrawing=frozenset({"refund", "chargeback", "withdrawal"}),
    tables=tuple(found for found in vars(tables).values() if isinstance(found, Table)),
    settings=OrderSettings,
    metrics=(PAYMENT_EVENTS,),
)
