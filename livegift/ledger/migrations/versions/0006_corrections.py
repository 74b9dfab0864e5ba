"""Corrections of wallets and revocations of gifts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "corrections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default="requested", nullable=False),
        sa.Column("gift_event_id", sa.Text(), nullable=True),
        sa.Column("gift_partition", sa.Integer(), nullable=True),
        sa.Column("room", sa.Text(), nullable=True),
        sa.Column("receiver", sa.Text(), nullable=True),
        sa.Column("diamonds", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status IN ('requested', 'approved', 'applied', 'rejected', 'refused')", name=op.f("ck_corrections_status")
        ),
        sa.CheckConstraint("coins <> 0", name=op.f("ck_corrections_coins")),
        sa.CheckConstraint(
            "num_nulls(gift_event_id, gift_partition, room, receiver, diamonds) IN (0, 5)",
            name=op.f("ck_corrections_gift"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    op.create_index(
        "ix_corrections_gift",
        "corrections",
        ["gift_event_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'rejected'"),
    )
    op.create_index(
        "ix_corrections_approved", "corrections", ["decided_at"], postgresql_where=sa.text("status = 'approved'")
    )
    op.create_index("ix_corrections_user_id", "corrections", ["user_id"])
