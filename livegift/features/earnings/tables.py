"""The tables of earnings, part of the schema in `tables`."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Integer, Table, Text

from livegift.ledger.tables import metadata

# What each creator has earned by gifts, by the hour in which they were booked: written with the bookings, never changed
# after its hour. So nobody has to add up millions of gifts to know what is still pending.
earned_hours = Table(
    "earned_hours",
    metadata,
    Column("creator", Text, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("gifts", BigInteger, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
)

# A row per gift and order that was given back; the transfers are postings ('hold_back', the order's id).
gift_hold_backs = Table(
    "gift_hold_backs",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("creator", Text, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
    CheckConstraint("coins > 0 AND diamonds > 0", name="amounts"),
    Index(None, "creator"),
)
