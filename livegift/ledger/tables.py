"""The tables, as the queries see them. `migrations/` creates them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)
NOW = text("now()")


def timestamp(name: str, *, nullable: bool = False) -> Column[object]:
    """Return a column for a moment in time; unless nullable, it defaults to the transaction's."""
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=None if nullable else NOW)


# What is fixed at a migration: 'partitions', 'event_id_key', and 'older_rooms_until' (seconds since the epoch): rooms
# that were opened before may be in Redis as versions before decision 019 left them.
system = Table("system", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    timestamp("created_at"),
)

rooms = Table(
    "rooms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("creator_id", Text, ForeignKey("users.id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    timestamp("created_at"),
    timestamp("ended_at", nullable=True),
    CheckConstraint("kind IN ('live', 'video')", name="kind"),
    CheckConstraint("status IN ('live', 'ended')", name="status"),
    Index(None, "creator_id"),
)

gift_kinds = Table(
    "gift_kinds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamond_count", BigInteger, nullable=False),
    Column("streakable", Boolean, nullable=False),
    Column("tier", SmallInteger, nullable=False),
    Column("icon", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("coins > 0 AND diamond_count >= 0", name="price"),
)

coin_packages = Table(
    "coin_packages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("coins", BigInteger, nullable=False),
    Column("bonus_coins", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
)

package_prices = Table(
    "package_prices",
    metadata,
    Column("package_id", Text, ForeignKey("coin_packages.id"), primary_key=True),
    Column("region", Text, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
)

# Balances advance once per batch by the sums of its transfers.
accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("asset", Text, nullable=False),
    Column("balance", BigInteger, nullable=False),
)

# Up to where each partition's journal is booked: arming moves the epoch, booking moves n. What was booked in all, why
# it was stopped, and up to where it may be trimmed once `mark_at` is long enough ago.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("gifts", BigInteger, nullable=False, server_default=text("0")),
    Column("coins", BigInteger, nullable=False, server_default=text("0")),
    Column("stopped", Text, nullable=True),
    timestamp("booked_at"),
    Column("mark_epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("mark_n", BigInteger, nullable=False, server_default=text("0")),
    timestamp("mark_at"),
    # Earlier versions froze a wallet that went below zero until an operator thawed it. What they left is repaired when
    # the partition is next armed.
    Column("frozen_by_debts", Boolean, nullable=False, server_default=text("false")),
)

# The n at which each epoch of a partition began: what an older epoch wrote beyond it does not count.
epochs = Table(
    "epochs",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("base", BigInteger, nullable=False),
    timestamp("at"),
)

# Gives each life of a room's numbering its own epoch.
room_epochs = Sequence("room_epochs", metadata=metadata)

batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("gifts", Integer, nullable=False),
    Column("transfers", Integer, nullable=False),
    timestamp("booked_at"),
    Index(None, "booked_at"),
)

# A gift's row carries its two legs: coins from the sender to coins:spent, diamonds from diamonds:issued to the
# receiver.
gifts = Table(
    "gifts",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("sender", Text, nullable=False),
    Column("wallet_seq", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("gift_id", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
    Column("combo_id", Text, nullable=False),
    Column("repeat_count", BigInteger, nullable=False),
    Column("anonymous", Boolean, nullable=False),
    Column("ts_ms", BigInteger, nullable=False),
    Column("payload_hash", Text, nullable=False, server_default=""),
    Column("day", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("sender", "wallet_seq"),
    Index("ix_gifts_room_partition_n", "room", "partition", "n"),
    Index("ix_gifts_receiver_batch_id", "receiver", "batch_id"),
)

# All other changes of wallets, and what else moves between accounts.
transfers = Table(
    "transfers",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("wallet_seq", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("ts_ms", BigInteger, nullable=False),
    Column("payload_hash", Text, nullable=False, server_default=""),
    CheckConstraint("amount > 0", name="amount"),
    UniqueConstraint("user_id", "wallet_seq"),
)

# Transfers that touch no wallet. `id` is the order in which they were posted; an act (reason, ref) is posted once.
postings = Table(
    "postings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    timestamp("at"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("debit <> credit", name="legs"),
    UniqueConstraint("reason", "ref", "line"),
    Index("ix_postings_debit", "debit", "id"),
    Index("ix_postings_credit", "credit", "id"),
)

# Streaks that have had their last event lately, so that one that is opened again after a loss gets no second one.
streak_ends = Table(
    "streak_ends",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("combo_id", Text, nullable=False, index=True),
    Column("ts_ms", BigInteger, nullable=False),
)

# The last booked state of each wallet: moved by compare-and-set, so that a fork shows at once.
wallet_heads = Table(
    "wallet_heads",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
)

# Journal entries that can't be booked, with their bytes. Where it is known whose wallet they changed, they stand in its
# chain, and the amount is with `coins:suspense`: `coins` is what the wallet got (negative: gave). `room` and `diamonds`
# are of a gift that can be read; the relay has published it.
quarantine = Table(
    "quarantine",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    timestamp("at"),
    Column("status", Text, nullable=False, server_default="open"),
    Column("reason", Text, nullable=True),
    timestamp("closed_at", nullable=True),
    Column("user_id", Text, nullable=True),
    Column("wallet_seq", BigInteger, nullable=True),
    Column("balance", BigInteger, nullable=True),
    Column("coins", BigInteger, nullable=True),
    Column("room", Text, nullable=True),
    Column("diamonds", BigInteger, nullable=True),
    CheckConstraint("status IN ('open', 'booked', 'dropped')", name="status"),
    UniqueConstraint("user_id", "wallet_seq"),
)

# What operators did or asked for, in this order; rows are never changed.
operator_acts = Table(
    "operator_acts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    timestamp("at"),
    Index("ix_operator_acts_subject", "subject", "id"),
    Index("ix_operator_acts_actor", "actor", "id"),
)
