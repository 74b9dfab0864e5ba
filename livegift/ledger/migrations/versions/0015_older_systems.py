"""The conversion of older systems: ranks of rooms, wallets frozen by debts, open revocations."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# A day more than now: a room that is opened before this version's functions are loaded is an older one too.
_OLDER_ROOMS = """
    INSERT INTO system (key, value)
    SELECT 'older_rooms_until', floor(extract(epoch FROM now()) + 86400)::bigint::text
    WHERE EXISTS (SELECT 1 FROM rooms) ON CONFLICT DO NOTHING
"""
# Nothing of them was moved yet: when they are approved now, every leg is taken back.
_OPEN_REVOCATIONS = "UPDATE corrections SET is_whole = true WHERE status IN ('requested', 'rejected')"


def upgrade() -> None:
    """Record what has to be converted, once, where Redis and the ledger can be compared."""
    op.add_column(
        "checkpoints", sa.Column("frozen_by_debts", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute("UPDATE checkpoints SET frozen_by_debts = true WHERE n > 0 OR epoch > 0")
    op.execute(_OLDER_ROOMS)
    op.execute(_OPEN_REVOCATIONS)
