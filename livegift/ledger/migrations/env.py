"""Alembic's environment: runs on the connection that `ledger.schema` hands over."""

from alembic import context

# Each adds its tables to the metadata.
from livegift.ledger import corrections, limit_tables, order_tables, payout_tables, sponsor_tables  # noqa: F401

context.configure(connection=context.config.attributes["connection"], target_metadata=order_tables.orders.metadata)
with context.begin_transaction():
    context.run_migrations()
