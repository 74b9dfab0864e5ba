"""Alembic's environment: runs on the connection that `ledger.schema` hands over."""

from alembic import context

from livegift.ledger import order_tables, sponsor_tables  # noqa: F401 - each adds its tables to the metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=order_tables.orders.metadata)
with context.begin_transaction():
    context.run_migrations()
