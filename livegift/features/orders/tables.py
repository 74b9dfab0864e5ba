"""The tables of orders and promotions, part of the schema in `tables`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from livegift.ledger.tables import NOW, metadata

# Which orders still have something to do in a wallet: a partial index and the sweepers' queries share this text.
UNFINISHED = (
    "status IN ('paid', 'withdrawing') OR paid_at IS NOT NULL AND returned_coins - restored_coins <> "
    "CASE WHEN status IN ('refunded', 'charged_back') THEN coins + bonus_coins ELSE 0 END"
)


def _at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=True)


# Bonus coins on top of a package or a lower price, for a time; in all regions where `region` is null. `per_user_max`
# 0: no limit.
promotions = Table(
    "promotions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("package_id", Text, ForeignKey("coin_packages.id"), nullable=False),
    Column("region", Text, nullable=True),
    Column("bonus_coins", BigInteger, nullable=False),
    Column("percent_off", Integer, nullable=False, server_default=text("0")),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("per_user_max", Integer, nullable=False, server_default=text("0")),
    CheckConstraint(
        "bonus_coins >= 0 AND percent_off BETWEEN 0 AND 90 AND bonus_coins + percent_off > 0", name="gives"
    ),
    CheckConstraint("starts_at < ends_at", name="time"),
    CheckConstraint("per_user_max >= 0", name="per_user_max"),
    Index(None, "package_id"),
)

# A permanent row per order: what was agreed on when it was made, whatever packages cost later. `paid_at` is set when
# coins are to be credited, `reversed_at` when they are to be taken back, or given again. `returned_coins` and
# `restored_coins` are sums of all that was booked; `withdrawn`: coins are taken under the buyer's withdrawal. Under a
# promotion the `offered_…`, `promotion_coins` and `full_amount` are what it was made for; `promotion_granted` and the
# limit at that time are decided when the money comes, and `coins` and `bonus_coins` with them.
orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("idempotency_key", Text, nullable=True),
    Column("request_hash", Text, nullable=False),
    Column("package_id", Text, ForeignKey("coin_packages.id"), nullable=True),
    Column("promotion_id", Text, ForeignKey("promotions.id"), nullable=True),
    Column("offered_coins", BigInteger, nullable=True),
    Column("offered_bonus_coins", BigInteger, nullable=True),
    Column("promotion_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("full_amount", BigInteger, nullable=True),
    Column("promotion_granted", Boolean, nullable=True),
    Column("promotion_max", Integer, nullable=True),
    Column("region", Text, nullable=False),
    Column("priced_region", Text, nullable=True),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("bonus_coins", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_ref", Text, nullable=True),
    Column("payment_ref", Text, nullable=True),
    Column("checkout_url", Text, nullable=True),
    Column("status", Text, nullable=False, server_default="created"),
    Column("credited_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("returned_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("restored_coins", BigInteger, nullable=False, server_default=text("0")),
    Column("withdrawn", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    _at("paid_at"),
    _at("credited_at"),
    _at("reversed_at"),
    CheckConstraint(
        "status IN ('created', 'declined', 'expired', 'paid', 'credited', 'withdrawing', 'restoring', 'refunded', "
        "'charged_back')",
        name="status",
    ),
    CheckConstraint("amount > 0 AND coins > 0 AND bonus_coins >= 0", name="amounts"),
    CheckConstraint(
        "promotion_id IS NULL OR num_nulls(offered_coins, offered_bonus_coins, full_amount) = 0", name="offer"
    ),
    UniqueConstraint("user_id", "idempotency_key"),
    UniqueConstraint("provider", "provider_ref"),
    UniqueConstraint("provider", "payment_ref", name="uq_orders_payment_ref"),
    Index(
        "ix_orders_promotion_id_user_id", "promotion_id", "user_id", postgresql_where=text("promotion_id IS NOT NULL")
    ),
    Index("ix_orders_unfinished", "paid_at", postgresql_where=text(UNFINISHED)),
    Index("ix_orders_open", "created_at", postgresql_where=text("status = 'created'")),
    Index("ix_orders_provider_created_at", "provider", "created_at"),
)

# Which events wait for a person: a partial index and the queries share this text.
UNDECIDED = "outcome IN ('mismatch', 'partial', 'duplicate') AND decision IS NULL"

# Webhooks are delivered at least once: this is what makes it once. `outcome` is what came of it; the names, amount and
# currency are what the event said itself, so that the audit can compare them with the order.
order_events = Table(
    "order_events",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("named_order", Text, nullable=True),
    Column("session_ref", Text, nullable=True),
    Column("payment_ref", Text, nullable=True),
    Column("reversal_ref", Text, nullable=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decision", Text, nullable=True),
    Column("decided_by", Text, nullable=True),
    Column("decided_at", DateTime(timezone=True), nullable=True),
    Column("why", Text, nullable=True),
    Index(None, "order_id"),
    Index("ix_order_events_payment_ref", "provider", "payment_ref", postgresql_where=text("payment_ref IS NOT NULL")),
    Index("ix_order_events_undecided", "at", postgresql_where=text(UNDECIDED)),
)

# Events about payments that no order is known for. Most are of other products of the same account; a dispute may also
# have overtaken the news of its own payment, which then finds it here.
early_events = Table(
    "early_events",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payment_ref", Text, nullable=False),
    Column("reversal_ref", Text, nullable=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Index("ix_early_events_payment_ref", "provider", "payment_ref"),
    Index(None, "at"),
)

# What the sandbox, which plays a provider, knows itself: no foreign key, it is not our side of the books.
sandbox_payments = Table(
    "sandbox_payments",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    CheckConstraint("status IN ('open', 'declined', 'paid', 'refunded', 'disputed')", name="status"),
    UniqueConstraint("order_id"),
)
