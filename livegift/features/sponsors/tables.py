"""The tables of sponsor matches."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from livegift.ledger.tables import NOW, metadata

# What a sweep looks at: not over yet, or over with coins that are due.
UNFINISHED = (
    "status IN ('funding', 'active') OR status IN ('exhausted', 'ended') AND partition IS NOT NULL "
    "AND returned_coins < budget_coins - used_coins"
)


def _at(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=None if nullable else NOW)


# `number` is the order of creation, in which matches are locked and applied. `partition` is the one of the sponsor's
# wallet, set when its payment is booked; so is `starts_at` where none was given. No foreign key to rooms, because of
# `forgotten` in livegift/features/sponsors/rules.py.
sponsor_matches = Table(
    "sponsor_matches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("request_hash", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("sponsor", Text, nullable=False),
    Column("sponsor_name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("gift_id", Text, nullable=True),
    Column("factor", Integer, nullable=False),
    Column("budget_coins", BigInteger, nullable=False),
    Column("used_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("used_diamonds", BigInteger, nullable=False, server_default=text("0")),
    Column("returned_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False, server_default="funding"),
    Column("partition", Integer, nullable=True),
    _at("starts_at"),
    _at("ends_at"),
    _at("created_at", nullable=False),
    _at("ended_at"),
    CheckConstraint("status IN ('funding', 'active', 'exhausted', 'ended', 'returned')", name="status"),
    CheckConstraint("factor > 0 AND budget_coins > 0", name="terms"),
    CheckConstraint("used_coins BETWEEN 0 AND budget_coins AND used_diamonds >= 0", name="used"),
    Index("ix_sponsor_matches_room", "room", "number"),
    Index("ix_sponsor_matches_active", "room", postgresql_where=text("status = 'active'")),
    Index("ix_sponsor_matches_unfinished", "number", postgresql_where=text(UNFINISHED)),
    Index("ix_sponsor_matches_ended_at", "ended_at"),
)

# What a match has added to a gift. A row carries its two legs, as a gift's does: coins from the match's account to
# coins:spent, diamonds from diamonds:issued to the gift's receiver.
gift_matches = Table(
    "gift_matches",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("match_id", Text, ForeignKey("sponsor_matches.id"), primary_key=True),
    Column("units", Integer, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
    CheckConstraint("units > 0 AND coins > 0 AND diamonds >= 0", name="amounts"),
    Index(None, "match_id"),
)
