"""A buyer's withdrawal takes the coins before the money: states and counters for that."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STATUS = (
    "status IN ('created', 'declined', 'expired', 'paid', 'credited', 'withdrawing', 'restoring', 'refunded', "
    "'charged_back')"
)
_UNFINISHED = (
    "status IN ('paid', 'withdrawing') OR paid_at IS NOT NULL AND returned_coins - restored_coins <> "
    "CASE WHEN status IN ('refunded', 'charged_back') THEN coins + bonus_coins ELSE 0 END"
)


def upgrade() -> None:
    """Add the columns, widen the check, and rebuild the partial index."""
    op.add_column("orders", sa.Column("restored_coins", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("orders", sa.Column("withdrawn", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.drop_constraint(op.f("ck_orders_status"), "orders")
    op.create_check_constraint(op.f("ck_orders_status"), "orders", _STATUS)
    op.drop_index("ix_orders_unfinished", "orders")
    op.create_index("ix_orders_unfinished", "orders", ["paid_at"], postgresql_where=sa.text(_UNFINISHED))
    # Until now withdrawals were noted as refunds of an operator's, without an operator: the audit lets them be.
    op.execute(
        "UPDATE order_events e SET event_id = 'before-' || event_id WHERE event_id = 'admin-' || order_id "
        "AND NOT EXISTS (SELECT 1 FROM operator_acts a "
        "WHERE a.act = 'order.refund' AND a.subject = 'order:' || e.order_id)"
    )
