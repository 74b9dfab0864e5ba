"""Alembic's environment: runs on the connection that `ledger.schema` hands over."""

from alembic import context

# Each adds its tables to the metadata.
from livegift.features.corrections import queries as corrections  # noqa: F401
from livegift.features.orders import tables as order_tables
from livegift.features.payouts import tables as payout_tables  # noqa: F401
from livegift.features.spending_limits import tables as limit_tables  # noqa: F401
from livegift.features.sponsors import tables as sponsor_tables  # noqa: F401

context.configure(connection=context.config.attributes["connection"], target_metadata=order_tables.orders.metadata)
with context.begin_transaction():
    context.run_migrations()
