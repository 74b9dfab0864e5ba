"""The table of wallets' limits, part of the schema in `tables`."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text, UniqueConstraint

from livegift.ledger.tables import metadata

# Every version of a wallet's limits and freeze, in the order of its journal; rows are never changed. NULL: no limit.
wallet_limits = Table(
    "wallet_limits",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("per_gift", BigInteger, nullable=True),
    Column("day", BigInteger, nullable=True),
    Column("month", BigInteger, nullable=True),
    Column("pending_ms", BigInteger, nullable=False),
    Column("pending_per_gift", BigInteger, nullable=True),
    Column("pending_day", BigInteger, nullable=True),
    Column("pending_month", BigInteger, nullable=True),
    Column("frozen", Boolean, nullable=False),
    Column("why", Text, nullable=False),
    Column("by_user", Text, nullable=False),
    Column("ts_ms", BigInteger, nullable=False),
    UniqueConstraint("user_id", "version"),
)
