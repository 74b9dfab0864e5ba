"""Alembic's environment: runs on the connection that `ledger.schema` hands over."""

from alembic import context

from livegift.ledger import corrections, limit_tables, order_tables, payout_tables  # noqa: F401 - they add their tables

context.configure(connection=context.config.attributes["connection"], target_metadata=order_tables.orders.metadata)
with context.begin_transaction():
    context.run_migrations()
