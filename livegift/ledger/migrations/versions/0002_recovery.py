"""Epochs and their bases, what recovery needs of each entry, and quarantine with its own accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what recovery needs; the epoch a partition is armed under becomes the checkpoint's own."""
    # Epochs of rooms were milliseconds before: the sequence begins above all of them.
    op.execute("CREATE SEQUENCE room_epochs START 1")
    op.execute("SELECT setval('room_epochs', (extract(epoch FROM now()) * 1000)::bigint)")
    _epochs()
    _entries()
    _quarantine()


def _epochs() -> None:
    op.create_table(
        "epochs",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("partition", "epoch", name=op.f("pk_epochs")),
    )
    # Arming booked everything first, so an epoch began where the epochs before it end.
    op.execute(
        "INSERT INTO epochs (partition, epoch, base) SELECT c.partition, c.armed_epoch, greatest("
        "(SELECT coalesce(max(n), 0) FROM gifts g WHERE g.partition = c.partition AND g.epoch < c.armed_epoch), "
        "(SELECT coalesce(max(n), 0) FROM transfers t WHERE t.partition = c.partition AND t.epoch < c.armed_epoch)) "
        "FROM checkpoints c WHERE c.armed_epoch > 0"
    )
    op.execute("UPDATE checkpoints SET epoch = armed_epoch WHERE armed_epoch > epoch")
    op.drop_column("checkpoints", "armed_epoch")
    for name in ("gifts", "coins", "mark_epoch", "mark_n"):
        op.add_column("checkpoints", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    mark_at = sa.Column("mark_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    op.add_column("checkpoints", mark_at)
    op.execute(
        "UPDATE checkpoints c SET gifts = s.gifts, coins = s.coins FROM "
        "(SELECT partition, count(*) AS gifts, sum(coins) AS coins FROM gifts GROUP BY partition) s "
        "WHERE s.partition = c.partition"
    )


def _entries() -> None:
    for table in ("gifts", "transfers"):
        op.add_column(table, sa.Column("payload_hash", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_gifts_room_partition_n", "gifts", ["room", "partition", "n"])
    op.drop_index("ix_gifts_room", "gifts")
    op.create_table(
        "streak_ends",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("combo_id", sa.Text(), nullable=False),
        sa.Column("ts_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", name=op.f("pk_streak_ends")),
    )
    op.create_index(op.f("ix_streak_ends_combo_id"), "streak_ends", ["combo_id"])


def _quarantine() -> None:
    op.add_column("quarantine", sa.Column("status", sa.Text(), server_default="open", nullable=False))
    op.add_column("quarantine", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("quarantine", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("user_id", "room"):
        op.add_column("quarantine", sa.Column(name, sa.Text(), nullable=True))
    for name in ("wallet_seq", "balance", "coins", "diamonds"):
        op.add_column("quarantine", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_check_constraint(op.f("ck_quarantine_status"), "quarantine", "status IN ('open', 'booked', 'dropped')")
    op.create_unique_constraint(op.f("uq_quarantine_user_id"), "quarantine", ["user_id", "wallet_seq"])
