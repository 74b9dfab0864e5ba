"""The table of corrections."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from livegift.ledger.tables import NOW, metadata

# A permanent row per correction: the guard against a second one. The columns from `gift_event_id` to `diamonds` are of
# a gift that it revokes. What is not `is_whole` was asked for before decision 019: such a revocation took the gift's
# own diamonds when it was approved, and neither what sponsors had added nor what the room counts.
corrections = Table(
    "corrections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("coins", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("decided_by", Text, nullable=True),
    Column("decided_at", DateTime(timezone=True), nullable=True),
    Column("status", Text, nullable=False, server_default="requested"),
    Column("gift_event_id", Text, nullable=True),
    Column("gift_partition", Integer, nullable=True),
    Column("room", Text, nullable=True),
    Column("receiver", Text, nullable=True),
    Column("diamonds", BigInteger, nullable=True),
    Column("is_whole", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("status IN ('requested', 'approved', 'applied', 'rejected', 'refused')", name="status"),
    CheckConstraint("coins <> 0", name="coins"),
    CheckConstraint("num_nulls(gift_event_id, gift_partition, room, receiver, diamonds) IN (0, 5)", name="gift"),
    Index("ix_corrections_gift", "gift_event_id", unique=True, postgresql_where=text("status <> 'rejected'")),
    Index("ix_corrections_approved", "decided_at", postgresql_where=text("status = 'approved'")),
)
