"""Revoked gifts count nowhere: what each booked revocation has taken back."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and mark earlier revocations: they took back neither matches nor the room's totals."""
    op.create_table(
        "gift_revocations",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("correction_id", sa.Text(), nullable=False),
        sa.Column("gift_epoch", sa.BigInteger(), nullable=False),
        sa.Column("gift_n", sa.BigInteger(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("combo_id", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("diamonds", sa.BigInteger(), nullable=False),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.CheckConstraint("count > 0 AND coins >= 0 AND diamonds >= 0", name=op.f("ck_gift_revocations_amounts")),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", name=op.f("pk_gift_revocations")),
    )
    op.create_index("ix_gift_revocations_gift", "gift_revocations", ["partition", "gift_epoch", "gift_n"])
    op.create_index("ix_gift_revocations_room_partition_n", "gift_revocations", ["room", "partition", "n"])
    op.add_column("corrections", sa.Column("is_whole", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.alter_column("corrections", "is_whole", server_default=sa.text("true"))
