"""Orders, what providers say of them, promotions, and the sandbox's own payments."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As it was at this revision: migrations do not follow the code.
_UNFINISHED = (
    "status = 'paid' OR status IN ('refunded', 'charged_back') AND paid_at IS NOT NULL "
    "AND returned_coins < coins + bonus_coins"
)


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    now = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=nullable)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "promotions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("package_id", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("bonus_coins", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("per_user_max", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("bonus_coins > 0", name=op.f("ck_promotions_bonus_coins")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_promotions_time")),
        sa.CheckConstraint("per_user_max >= 0", name=op.f("ck_promotions_per_user_max")),
        sa.ForeignKeyConstraint(["package_id"], ["coin_packages.id"], name=op.f("fk_promotions_package_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index(op.f("ix_promotions_package_id"), "promotions", ["package_id"])
    _create_orders()
    op.create_table(
        "order_events",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        _at("at", nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id")),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_order_events")),
    )
    op.create_index(op.f("ix_order_events_order_id"), "order_events", ["order_id"])
    op.create_table(
        "sandbox_payments",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        _at("created_at", nullable=False),
        sa.CheckConstraint(
            "status IN ('open', 'declined', 'paid', 'refunded', 'disputed')", name=op.f("ck_sandbox_payments_status")
        ),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_sandbox_payments")),
        sa.UniqueConstraint("order_id", name=op.f("uq_sandbox_payments_order_id")),
    )


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("package_id", sa.Text(), nullable=True),
        sa.Column("promotion_id", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("bonus_coins", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("payment_ref", sa.Text(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="created", nullable=False),
        sa.Column("credited_coins", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned_coins", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _at("created_at", nullable=False),
        _at("paid_at"),
        _at("credited_at"),
        _at("reversed_at"),
        sa.CheckConstraint(
            "status IN ('created', 'declined', 'expired', 'paid', 'credited', 'refunded', 'charged_back')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("amount > 0 AND coins > 0 AND bonus_coins >= 0", name=op.f("ck_orders_amounts")),
        sa.ForeignKeyConstraint(["package_id"], ["coin_packages.id"], name=op.f("fk_orders_package_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name=op.f("fk_orders_promotion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("user_id", "idempotency_key", name=op.f("uq_orders_user_id")),
        sa.UniqueConstraint("provider", "provider_ref", name=op.f("uq_orders_provider")),
        sa.UniqueConstraint("provider", "payment_ref", name="uq_orders_payment_ref"),
    )
    op.create_index(
        "ix_orders_promotion_id_user_id",
        "orders",
        ["promotion_id", "user_id"],
        postgresql_where=sa.text("promotion_id IS NOT NULL"),
    )
    op.create_index("ix_orders_unfinished", "orders", ["paid_at"], postgresql_where=sa.text(_UNFINISHED))
    op.create_index("ix_orders_open", "orders", ["created_at"], postgresql_where=sa.text("status = 'created'"))
    op.create_index("ix_orders_provider_created_at", "orders", ["provider", "created_at"])
