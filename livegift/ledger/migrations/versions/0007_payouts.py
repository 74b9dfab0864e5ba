"""Earnings by the hour, holds, payouts; statements read gifts by receiver and batch."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else NOW)


def upgrade() -> None:
    """Add the tables, with what was earned so far."""
    op.create_table(
        "earned_hours",
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gifts", sa.BigInteger(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("diamonds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("creator", "hour", name=op.f("pk_earned_hours")),
    )
    op.create_table(
        "sender_holds",
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        _at("held_at", nullable=False),
        sa.PrimaryKeyConstraint("sender", name=op.f("pk_sender_holds")),
    )
    op.create_table(
        "payout_accounts",
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("iban", sa.Text(), nullable=False),
        _at("changed_at", nullable=False),
        sa.PrimaryKeyConstraint("creator", name=op.f("pk_payout_accounts")),
    )
    op.create_table(
        "payout_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        _at("made_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_batches")),
    )
    op.create_table(
        "payouts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("diamonds", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="requested", nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("iban", sa.Text(), nullable=False),
        _at("requested_at", nullable=False),
        _at("decided_at"),
        _at("sent_at"),
        _at("ended_at"),
        sa.CheckConstraint("diamonds > 0 AND amount > 0", name=op.f("ck_payouts_amounts")),
        sa.CheckConstraint(
            "status IN ('requested', 'approved', 'sent', 'paid', 'rejected', 'cancelled', 'failed')",
            name=op.f("ck_payouts_status"),
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_payouts_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
    )
    op.create_index("ix_payouts_creator", "payouts", ["creator", "requested_at", "id"])
    op.create_index("ix_payouts_status", "payouts", ["status", "id"])
    op.create_index("ix_payouts_batch_id", "payouts", ["batch_id"], postgresql_where=sa.text("batch_id IS NOT NULL"))
    op.drop_index("ix_gifts_receiver_ts_ms", table_name="gifts")
    op.create_index("ix_gifts_receiver_batch_id", "gifts", ["receiver", "batch_id"])
    op.create_index("ix_batches_booked_at", "batches", ["booked_at"])
    op.execute(
        "INSERT INTO earned_hours "
        "SELECT receiver, date_trunc('hour', booked_at), count(*), sum(g.coins), sum(diamonds) "
        "FROM gifts g JOIN batches b ON b.id = g.batch_id GROUP BY 1, 2"
    )
