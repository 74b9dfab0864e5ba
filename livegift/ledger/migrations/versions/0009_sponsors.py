"""Sponsor matches, and what they have added to gifts."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# As it was at this revision: migrations do not follow the code.
_UNFINISHED = (
    "status IN ('funding', 'active') OR status IN ('exhausted', 'ended') AND partition IS NOT NULL "
    "AND returned_coins < budget_coins - used_coins"
)


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    now = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=nullable)


def upgrade() -> None:
    """Add the tables."""
    zero = sa.text("0")
    op.create_table(
        "sponsor_matches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("sponsor", sa.Text(), nullable=False),
        sa.Column("sponsor_name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("gift_id", sa.Text(), nullable=True),
        sa.Column("factor", sa.Integer(), nullable=False),
        sa.Column("budget_coins", sa.BigInteger(), nullable=False),
        sa.Column("used_coins", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("used_diamonds", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("returned_coins", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("status", sa.Text(), server_default="funding", nullable=False),
        sa.Column("partition", sa.Integer(), nullable=True),
        _at("starts_at"),
        _at("ends_at"),
        _at("created_at", nullable=False),
        _at("ended_at"),
        sa.CheckConstraint(
            "status IN ('funding', 'active', 'exhausted', 'ended', 'returned')", name=op.f("ck_sponsor_matches_status")
        ),
        sa.CheckConstraint("factor > 0 AND budget_coins > 0", name=op.f("ck_sponsor_matches_terms")),
        sa.CheckConstraint(
            "used_coins BETWEEN 0 AND budget_coins AND used_diamonds >= 0", name=op.f("ck_sponsor_matches_used")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sponsor_matches")),
        sa.UniqueConstraint("number", name=op.f("uq_sponsor_matches_number")),
    )
    op.create_index("ix_sponsor_matches_room", "sponsor_matches", ["room", "number"])
    op.create_index(
        "ix_sponsor_matches_active", "sponsor_matches", ["room"], postgresql_where=sa.text("status = 'active'")
    )
    op.create_index(
        "ix_sponsor_matches_unfinished", "sponsor_matches", ["number"], postgresql_where=sa.text(_UNFINISHED)
    )
    op.create_index("ix_sponsor_matches_ended_at", "sponsor_matches", ["ended_at"])
    op.create_table(
        "gift_matches",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("match_id", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("coins", sa.BigInteger(), nullable=False),
        sa.Column("diamonds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("units > 0 AND coins > 0 AND diamonds >= 0", name=op.f("ck_gift_matches_amounts")),
        sa.ForeignKeyConstraint(["match_id"], ["sponsor_matches.id"], name=op.f("fk_gift_matches_match_id")),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", "match_id", name=op.f("pk_gift_matches")),
    )
    op.create_index(op.f("ix_gift_matches_match_id"), "gift_matches", ["match_id"])
