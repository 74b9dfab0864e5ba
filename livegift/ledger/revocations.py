"""Revoked gifts as booked: which gift a journal entry has revoked, and what that gift was. See decision 019."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.journal import WalletChanged
from livegift.domain.partitions import Position
from livegift.ledger.tables import metadata

# A row per booked revocation, at the entry's position; the gift is of the same partition. From that position on the
# gift counts in no room, and the audits compare by it. Rows of `gifts` and `gift_matches` stay as they were booked.
gift_revocations = Table(
    "gift_revocations",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("correction_id", Text, nullable=False),
    Column("gift_epoch", BigInteger, nullable=False),
    Column("gift_n", BigInteger, nullable=False),
    Column("room", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("combo_id", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("coins", BigInteger, nullable=False),
    Column("diamonds", BigInteger, nullable=False),
    Column("anonymous", Boolean, nullable=False),
    CheckConstraint("count > 0 AND coins >= 0 AND diamonds >= 0", name="amounts"),
    Index("ix_gift_revocations_gift", "partition", "gift_epoch", "gift_n"),
    Index("ix_gift_revocations_room_partition_n", "room", "partition", "n"),
)


def gift_position(event_id: str) -> tuple[int, Position]:
    """Return partition and position of a gift's event. Raises ValueError for anything that is not such an id."""
    partition, _, position = event_id.partition("-")
    return int(partition), Position.parse(position)


async def note(connection: AsyncConnection, entries: Sequence[tuple[int, Position, WalletChanged]]) -> None:
    """Write the rows of entries that revoke a gift, in the transaction that books them."""
    rows = []
    for partition, at, entry in entries:
        gift = entry.revokes
        if gift is None:
            continue
        _, gift_at = gift_position(gift.event_id)
        rows.append(
            {
                "partition": partition,
                "epoch": at.epoch,
                "n": at.n,
                "correction_id": entry.ref.partition(":")[2],
                "gift_epoch": gift_at.epoch,
                "gift_n": gift_at.n,
                "room": gift.room,
                "sender": entry.user,
                "combo_id": gift.combo_id,
                "count": gift.count,
                "coins": gift.coins,
                "diamonds": gift.diamonds,
                "anonymous": gift.anonymous,
            }
        )
    if rows:
        await connection.execute(insert(gift_revocations), rows)
