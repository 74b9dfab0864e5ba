"""The contributions of partitions to rooms, according to the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position


@dataclass(frozen=True, slots=True)
class BookedContribution:
    """One partition's contribution to a room, up to the checkpoint: sums of what counts, and the last entry's n."""

    gifts: int
    coins: int
    diamonds: int
    last_n: int


@dataclass(frozen=True, slots=True)
class BookedGifter:
    """A user's gifts in a room that count, the coins of those that were not anonymous, and when the last was sent."""

    user: str
    gifts: int
    coins: int
    reached_ms: int


_CHECKPOINTS = text("SELECT partition, epoch, n FROM checkpoints")
# An index gives the last gift of a room and partition, so that a room with a million gifts costs no more than another.
# The last revocation counts as well: the room has to know it.
_LASTS = text(
    "SELECT r.room, p.partition, max(e.n) AS n FROM unnest(CAST(:rooms AS text[])) AS r(room) "
    "CROSS JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS p(partition, n) "
    "CROSS JOIN LATERAL ((SELECT n FROM gifts WHERE gifts.room = r.room AND gifts.partition = p.partition "
    "AND gifts.n <= p.n ORDER BY n DESC LIMIT 1) UNION ALL "
    "(SELECT n FROM gift_revocations v WHERE v.room = r.room AND v.partition = p.partition "
    "AND v.n <= p.n ORDER BY n DESC LIMIT 1)) e GROUP BY 1, 2"
)
# What counts in a room: its gifts, those in quarantine that can be read (they were published as well), and negative
# amounts for each that was revoked, from there on.
_ROOM_GIFTS = (
    "SELECT partition, n, sender, 1 AS gifts, coins, diamonds, anonymous, ts_ms FROM gifts WHERE room = :room "
    "UNION ALL SELECT partition, n, user_id, 1, -coins, diamonds, false, NULL FROM quarantine "
    "WHERE room = :room AND status <> 'booked' "
    "UNION ALL SELECT partition, n, sender, -1, -coins, -diamonds, anonymous, NULL FROM gift_revocations "
    "WHERE room = :room"
)
_SUMS = "sum(g.gifts) AS gifts, sum(g.coins) AS coins, sum(g.diamonds) AS diamonds"
# When the last gift that is not anonymous was sent, revoked or not: what the room knows as well.
_STANDING = (
    "g.sender, sum(g.gifts) AS gifts, coalesce(sum(g.coins) FILTER (WHERE NOT g.anonymous), 0) AS coins, "
    "coalesce(max(g.ts_ms) FILTER (WHERE NOT g.anonymous), 0) AS reached_ms"
)
_UPTO = (
    f"FROM ({_ROOM_GIFTS}) g JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n"
)
_SHARE = text(
    f"SELECT {_SUMS}, max(n) AS last_n FROM ({_ROOM_GIFTS}) g WHERE partition = :partition"  # noqa: S608 - our own text
)
_GIFTERS = text(
    f"SELECT {_STANDING} FROM ({_ROOM_GIFTS}) g WHERE partition = :partition "  # noqa: S608 - our own text
    "GROUP BY sender HAVING sum(g.gifts) > 0 ORDER BY sender"
)
_SHARES = text(f"SELECT g.partition, {_SUMS} {_UPTO} GROUP BY 1")
_RANKS = text(f"SELECT {_STANDING} {_UPTO} GROUP BY 1 HAVING sum(g.gifts) > 0")
_RECEIVERS = text(
    "SELECT g.receiver, sum(g.diamonds) AS diamonds FROM (SELECT partition, n, receiver, diamonds FROM gifts "
    "WHERE room = :room UNION ALL SELECT r.partition, r.n, b.receiver, -r.diamonds FROM gift_revocations r "
    "JOIN gifts b ON (b.partition, b.epoch, b.n) = (r.partition, r.gift_epoch, r.gift_n) WHERE r.room = :room) g "
    "JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n GROUP BY 1 ORDER BY 1"
)
_REVOKED = text(
    "SELECT count(*) AS gifts, coalesce(sum(g.coins), 0) AS coins, coalesce(sum(g.diamonds), 0) AS diamonds "
    "FROM gift_revocations g JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n WHERE g.room = :room"
)
_ROOMS = text(
    "SELECT id FROM rooms WHERE status = 'live' OR ended_at > now() - make_interval(secs => :ended_s) ORDER BY id"
)
# A room that was opened later has never been of an older form.
_OLDER_ROOMS = text(
    "SELECT id FROM rooms WHERE (status = 'live' OR ended_at > now() - make_interval(secs => :ended_s)) "
    "AND created_at < (SELECT to_timestamp(value::double precision) FROM system "
    "WHERE key = 'older_rooms_until') ORDER BY id"
)
_STOPPED = text("SELECT partition FROM checkpoints WHERE stopped IS NOT NULL")


async def checkpoints(connection: AsyncConnection) -> dict[int, Position]:
    """Return the position up to which each partition is booked, in this snapshot."""
    return {row.partition: Position(row.epoch, row.n) for row in await connection.execute(_CHECKPOINTS)}


async def stopped(connection: AsyncConnection) -> set[int]:
    """Return the stopped partitions, in this snapshot."""
    return {row.partition for row in await connection.execute(_STOPPED)}


async def last_gifts(
    connection: AsyncConnection, rooms: Sequence[str], upto: Mapping[int, int]
) -> Mapping[tuple[str, int], int]:
    """Return the n of the last gift or revocation of each room and partition with any, up to an n per partition."""
    rows = await connection.execute(
        _LASTS, {"rooms": list(rooms), "partitions": list(upto), "upto": list(upto.values())}
    )
    return {(row.room, row.partition): row.n for row in rows}


async def contribution_of(
    connection: AsyncConnection, room: str, partition: int
) -> tuple[BookedContribution, list[BookedGifter]]:
    """Return what a room should have from one partition, and its gifters."""
    at = {"room": room, "partition": partition}
    row = (await connection.execute(_SHARE, at)).one()._mapping  # noqa: SLF001 - SQLAlchemy's public name
    gifters = [_gifter(found) for found in await connection.execute(_GIFTERS, at)]
    return BookedContribution(*(int(row[name] or 0) for name in ("gifts", "coins", "diamonds", "last_n"))), gifters


def _gifter(row: Row[Any]) -> BookedGifter:
    return BookedGifter(row.sender, int(row.gifts), int(row.coins), int(row.reached_ms))


async def active_rooms(connection: AsyncConnection, ended_s: float) -> list[str]:
    """Return the rooms that are live, or ended less than `ended_s` ago."""
    return [row.id for row in await connection.execute(_ROOMS, {"ended_s": ended_s})]


async def older_rooms(connection: AsyncConnection, ended_s: float) -> list[str]:
    """Return the rooms that may have an older version's form, live or ended less than `ended_s` ago."""
    return [row.id for row in await connection.execute(_OLDER_ROOMS, {"ended_s": ended_s})]


def _upto(room: str, upto: Mapping[int, int]) -> dict[str, object]:
    return {"room": room, "partitions": list(upto), "upto": list(upto.values())}


async def booked_contributions(
    connection: AsyncConnection, room: str, upto: Mapping[int, int]
) -> dict[int, tuple[int, int, int]]:
    """Return gifts, coins and diamonds of a room from each partition, up to an n per partition."""
    rows = await connection.execute(_SHARES, _upto(room, upto))
    return {row.partition: (int(row.gifts), int(row.coins), int(row.diamonds)) for row in rows}


async def booked_gifters(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, BookedGifter]:
    """Return the gifters of a room, up to an n per partition."""
    return {row.sender: _gifter(row) for row in await connection.execute(_RANKS, _upto(room, upto))}


async def receivers_of(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """Return the diamonds that each receiver got from gifts in a room, up to an n per partition."""
    return {row.receiver: int(row.diamonds) for row in await connection.execute(_RECEIVERS, _upto(room, upto))}


async def revocations_in(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """Return how many gifts of a room were revoked, and their coins and diamonds, up to an n per partition."""
    row = (await connection.execute(_REVOKED, _upto(room, upto))).one()
    return {"gifts": row.gifts, "coins": int(row.coins), "diamonds": int(row.diamonds)}
