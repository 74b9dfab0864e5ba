"""Promotions that lower prices, and that are decided when the money comes; whose prices an order has."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Orders that were paid before have what they got. Whether those were within the limit is not asked any more: it may
# have been another one then.
_DECIDED = """
    UPDATE orders o SET offered_coins = o.coins, offered_bonus_coins = o.bonus_coins, full_amount = o.amount,
    promotion_coins = least(p.bonus_coins, o.bonus_coins),
    promotion_granted = CASE WHEN o.paid_at IS NOT NULL THEN true END
    FROM promotions p WHERE p.id = o.promotion_id
"""


def upgrade() -> None:
    """Add columns and checks."""
    op.add_column("promotions", sa.Column("percent_off", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.drop_constraint(op.f("ck_promotions_bonus_coins"), "promotions")
    op.create_check_constraint(
        op.f("ck_promotions_gives"),
        "promotions",
        "bonus_coins >= 0 AND percent_off BETWEEN 0 AND 90 AND bonus_coins + percent_off > 0",
    )
    for name in ("offered_coins", "offered_bonus_coins", "full_amount"):
        op.add_column("orders", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("promotion_coins", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("orders", sa.Column("promotion_granted", sa.Boolean(), nullable=True))
    op.add_column("orders", sa.Column("promotion_max", sa.Integer(), nullable=True))
    op.add_column("orders", sa.Column("priced_region", sa.Text(), nullable=True))
    op.execute(_DECIDED)
    op.create_check_constraint(
        op.f("ck_orders_offer"),
        "orders",
        "promotion_id IS NULL OR num_nulls(offered_coins, offered_bonus_coins, full_amount) = 0",
    )
