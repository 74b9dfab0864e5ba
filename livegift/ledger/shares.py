"""What rooms should have from each partition, according to the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position


@dataclass(frozen=True, slots=True)
class BookedShare:
    """Gifts of one partition in one room, up to the checkpoint: sums, and the n of the last."""

    gifts: int
    coins: int
    diamonds: int
    last_n: int


@dataclass(frozen=True, slots=True)
class BookedGifter:
    """What a user has given in a room not anonymously."""

    user: str
    coins: int


_CHECKPOINTS = text("SELECT partition, epoch, n FROM checkpoints")
# An index gives the last gift of a room and partition, so that a room with a million gifts costs no more than another.
_LASTS = text(
    "SELECT r.room, p.partition, g.n FROM unnest(CAST(:rooms AS text[])) AS r(room) "
    "CROSS JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS p(partition, n) "
    "CROSS JOIN LATERAL (SELECT n FROM gifts WHERE gifts.room = r.room AND gifts.partition = p.partition "
    "AND gifts.n <= p.n ORDER BY n DESC LIMIT 1) g"
)
# What a room has from a partition; gifts in quarantine that can be read were published as well.
_GIFTS = (
    "SELECT sender, coins, diamonds, n, anonymous FROM gifts WHERE room = :room AND partition = :partition "
    "UNION ALL SELECT user_id, -coins, diamonds, n, false FROM quarantine "
    "WHERE room = :room AND partition = :partition AND status <> 'booked'"
)
_ROOM_GIFTS = (
    "SELECT partition, n, sender, coins, diamonds, anonymous FROM gifts WHERE room = :room "
    "UNION ALL SELECT partition, n, user_id, -coins, diamonds, false FROM quarantine "
    "WHERE room = :room AND status <> 'booked'"
)
_SHARE = text(
    "SELECT count(*) AS gifts, coalesce(sum(coins), 0) AS coins, coalesce(sum(diamonds), 0) AS diamonds, "  # noqa: S608 - our own text
    f"coalesce(max(n), 0) AS last_n FROM ({_GIFTS}) g"
)
_GIFTERS = text(
    "SELECT sender, coalesce(sum(coins) FILTER (WHERE NOT anonymous), 0) AS coins "  # noqa: S608 - our own text
    f"FROM ({_GIFTS}) g GROUP BY sender ORDER BY sender"
)
_SHARES = text(
    "SELECT g.partition, count(*) AS gifts, sum(g.coins) AS coins, sum(g.diamonds) AS diamonds "  # noqa: S608 - our own text
    f"FROM ({_ROOM_GIFTS}) g JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n GROUP BY 1"
)
_RANKS = text(
    "SELECT g.sender, coalesce(sum(g.coins) FILTER (WHERE NOT g.anonymous), 0) AS coins "  # noqa: S608 - our own text
    f"FROM ({_ROOM_GIFTS}) g JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n GROUP BY 1"
)
_RECEIVERS = text(
    "SELECT g.receiver, sum(g.diamonds) AS diamonds FROM gifts g "
    "JOIN unnest(CAST(:partitions AS int[]), CAST(:upto AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n WHERE g.room = :room GROUP BY 1 ORDER BY 1"
)
_REVOKED = text(
    "SELECT count(*) AS gifts, coalesce(sum(coins), 0) AS coins, coalesce(sum(diamonds), 0) AS diamonds "
    "FROM corrections WHERE room = :room AND status IN ('approved', 'applied')"
)
_ROOMS = text(
    "SELECT id FROM rooms WHERE status = 'live' OR ended_at > now() - make_interval(secs => :ended_s) ORDER BY id"
)
_STOPPED = text("SELECT partition FROM checkpoints WHERE stopped IS NOT NULL")


async def checkpoints(connection: AsyncConnection) -> dict[int, Position]:
    """How far each partition is booked, in this snapshot."""
    return {row.partition: Position(row.epoch, row.n) for row in await connection.execute(_CHECKPOINTS)}


async def stopped(connection: AsyncConnection) -> set[int]:
    """The partitions that were stopped, in this snapshot."""
    return {row.partition for row in await connection.execute(_STOPPED)}


async def last_gifts(
    connection: AsyncConnection, rooms: Sequence[str], upto: Mapping[int, int]
) -> Mapping[tuple[str, int], int]:
    """The n of the last gift of each room and partition that have any, up to an n per partition."""
    rows = await connection.execute(
        _LASTS, {"rooms": list(rooms), "partitions": list(upto), "upto": list(upto.values())}
    )
    return {(row.room, row.partition): row.n for row in rows}


async def share_of(connection: AsyncConnection, room: str, partition: int) -> tuple[BookedShare, list[BookedGifter]]:
    """What a room should have from one partition, and who gave it."""
    at = {"room": room, "partition": partition}
    row = (await connection.execute(_SHARE, at)).one()
    gifters = [BookedGifter(g.sender, int(g.coins)) for g in await connection.execute(_GIFTERS, at)]
    return BookedShare(row.gifts, int(row.coins), int(row.diamonds), row.last_n), gifters


async def active_rooms(connection: AsyncConnection, ended_s: float) -> list[str]:
    """Rooms that are live, or ended less than `ended_s` ago."""
    return [row.id for row in await connection.execute(_ROOMS, {"ended_s": ended_s})]


def _upto(room: str, upto: Mapping[int, int]) -> dict[str, object]:
    return {"room": room, "partitions": list(upto), "upto": list(upto.values())}


async def booked_shares(
    connection: AsyncConnection, room: str, upto: Mapping[int, int]
) -> dict[int, tuple[int, int, int]]:
    """Gifts, coins and diamonds of a room from each partition, up to an n per partition."""
    rows = await connection.execute(_SHARES, _upto(room, upto))
    return {row.partition: (row.gifts, int(row.coins), int(row.diamonds)) for row in rows}


async def booked_ranks(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """What each gifter of a room has given not anonymously, up to an n per partition."""
    return {row.sender: int(row.coins) for row in await connection.execute(_RANKS, _upto(room, upto))}


async def receivers_of(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """The diamonds that each receiver got by gifts in a room, up to an n per partition."""
    return {row.receiver: int(row.diamonds) for row in await connection.execute(_RECEIVERS, _upto(room, upto))}


async def revocations_in(connection: AsyncConnection, room: str) -> dict[str, int]:
    """Gifts of a room that operators have undone: how many, their coins and diamonds."""
    row = (await connection.execute(_REVOKED, {"room": room})).one()
    return {"gifts": row.gifts, "coins": int(row.coins), "diamonds": int(row.diamonds)}
