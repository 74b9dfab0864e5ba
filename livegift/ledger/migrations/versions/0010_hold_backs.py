"""Clawbacks of diamonds when the money behind their gifts is given back."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "gift_hold_backs",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("diamonds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("coins > 0 AND diamonds > 0", name=op.f("ck_gift_hold_backs_amounts")),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", "order_id", name=op.f("pk_gift_hold_backs")),
    )
    op.create_index("ix_gift_hold_backs_creator", "gift_hold_backs", ["creator"])
