"""The tables of payouts, part of the schema in `tables`."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Index, Table, Text, text

from livegift.ledger.tables import NOW, metadata


def _at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=True)


# Senders whose gifts earn nothing that can be paid out for now, such as a suspected minor.
sender_holds = Table(
    "sender_holds",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("held_by", Text, nullable=False),
    Column("held_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

# Where a creator's money goes.
payout_accounts = Table(
    "payout_accounts",
    metadata,
    Column("creator", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("iban", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

payout_batches = Table(
    "payout_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("made_by", Text, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

# `holder` and `iban` are as they were when it was asked for: what was approved is what is paid.
payouts = Table(
    "payouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("creator", Text, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="requested"),
    Column("why", Text, nullable=True),
    Column("decided_by", Text, nullable=True),
    Column("batch_id", Text, ForeignKey("payout_batches.id"), nullable=True),
    Column("holder", Text, nullable=False),
    Column("iban", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    _at("decided_at"),
    _at("sent_at"),
    _at("ended_at"),
    CheckConstraint("diamonds > 0 AND amount > 0", name="amounts"),
    CheckConstraint(
        "status IN ('requested', 'approved', 'sent', 'paid', 'rejected', 'cancelled', 'failed')", name="status"
    ),
    Index("ix_payouts_creator", "creator", "requested_at", "id"),
    Index("ix_payouts_status", "status", "id"),
    Index("ix_payouts_batch_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
)
