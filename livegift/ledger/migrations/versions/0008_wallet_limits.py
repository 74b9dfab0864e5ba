"""Wallets' limits and freezes; the day that a gift counts for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column."""
    op.create_table(
        "wallet_limits",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("per_gift", sa.BigInteger(), nullable=True),
        sa.Column("day", sa.BigInteger(), nullable=True),
        sa.Column("month", sa.BigInteger(), nullable=True),
        sa.Column("pending_ms", sa.BigInteger(), nullable=False),
        sa.Column("pending_per_gift", sa.BigInteger(), nullable=True),
        sa.Column("pending_day", sa.BigInteger(), nullable=True),
        sa.Column("pending_month", sa.BigInteger(), nullable=True),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("by_user", sa.Text(), nullable=False),
        sa.Column("ts_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", name=op.f("pk_wallet_limits")),
        sa.UniqueConstraint("user_id", "version", name=op.f("uq_wallet_limits_user_id")),
    )
    op.add_column("gifts", sa.Column("day", sa.Integer(), server_default="0", nullable=False))
