"""The contents of providers' events, early events, and operators' decisions about odd payments."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# As it was at this revision: migrations do not follow the code.
_UNDECIDED = "outcome IN ('mismatch', 'partial', 'duplicate') AND decision IS NULL"
# What was applied before had the order's amount. How it was named was not kept: that Stripe names a payment in each of
# its events is known, so that those which were matched by nothing at all stay without a name, for the audit.
_BACKFILL = """
    UPDATE order_events e SET amount = o.amount, currency = o.currency, payment_ref = o.payment_ref,
    named_order = CASE WHEN o.provider = 'stripe' AND o.payment_ref IS NULL AND o.status NOT IN
    ('created', 'declined', 'expired') THEN NULL ELSE o.id END FROM orders o WHERE o.id = e.order_id
"""


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    now = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=nullable)


def upgrade() -> None:
    """Add columns and the table."""
    for name in ("named_order", "session_ref", "payment_ref", "reversal_ref"):
        op.add_column("order_events", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("order_events", sa.Column("amount", sa.BigInteger(), nullable=True))
    op.add_column("order_events", sa.Column("currency", sa.Text(), nullable=True))
    op.execute(_BACKFILL)
    op.alter_column("order_events", "amount", nullable=False)
    op.alter_column("order_events", "currency", nullable=False)
    for name in ("decision", "decided_by"):
        op.add_column("order_events", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("order_events", _at("decided_at"))
    op.add_column("order_events", sa.Column("why", sa.Text(), nullable=True))
    op.create_index(
        "ix_order_events_payment_ref",
        "order_events",
        ["provider", "payment_ref"],
        postgresql_where=sa.text("payment_ref IS NOT NULL"),
    )
    op.create_index("ix_order_events_undecided", "order_events", ["at"], postgresql_where=sa.text(_UNDECIDED))
    op.create_table(
        "early_events",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payment_ref", sa.Text(), nullable=False),
        sa.Column("reversal_ref", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        _at("at", nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_early_events")),
    )
    op.create_index("ix_early_events_payment_ref", "early_events", ["provider", "payment_ref"])
    op.create_index(op.f("ix_early_events_at"), "early_events", ["at"])
