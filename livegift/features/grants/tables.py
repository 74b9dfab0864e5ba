"""The table of grants."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Table, Text

from livegift.ledger.tables import metadata, timestamp

# A permanent row per grant: the guard against a second credit, long after Redis has forgotten the ref.
grants = Table(
    "grants",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    timestamp("created_at"),
    timestamp("credited_at", nullable=True),
    CheckConstraint("status IN ('pending', 'credited')", name="status"),
)
