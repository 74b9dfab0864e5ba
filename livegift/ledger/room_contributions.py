"""The contributions of partitions to rooms, according to the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position
from livegift.ledger.statements import Statements


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


class _Sql(Statements, file="room_contributions.sql"):
    """The statements of this module."""

    checkpoints: TextClause
    lasts: TextClause
    contribution: TextClause
    gifters: TextClause
    contributions: TextClause
    ranks: TextClause
    receivers: TextClause
    revoked: TextClause
    rooms: TextClause
    legacy_rooms: TextClause
    stopped: TextClause


async def checkpoints(connection: AsyncConnection) -> dict[int, Position]:
    """Return the position up to which each partition is booked, in this snapshot."""
    return {row.partition: Position(row.epoch, row.n) for row in await connection.execute(_Sql.checkpoints)}


async def stopped(connection: AsyncConnection) -> set[int]:
    """Return the stopped partitions, in this snapshot."""
    return {row.partition for row in await connection.execute(_Sql.stopped)}


async def last_gifts(
    connection: AsyncConnection, rooms: Sequence[str], upto: Mapping[int, int]
) -> Mapping[tuple[str, int], int]:
    """Return the n of the last gift or revocation of each room and partition with any, up to an n per partition."""
    rows = await connection.execute(
        _Sql.lasts, {"rooms": list(rooms), "partitions": list(upto), "upto": list(upto.values())}
    )
    return {(row.room, row.partition): row.n for row in rows}


async def contribution_of(
    connection: AsyncConnection, room: str, partition: int
) -> tuple[BookedContribution, list[BookedGifter]]:
    """Return what a room should have from one partition, and its gifters."""
    at = {"room": room, "partition": partition}
    row = (await connection.execute(_Sql.contribution, at)).one()._mapping  # noqa: SLF001 - SQLAlchemy's public name
    gifters = [_gifter(found) for found in await connection.execute(_Sql.gifters, at)]
    return BookedContribution(*(int(row[name] or 0) for name in ("gifts", "coins", "diamonds", "last_n"))), gifters


def _gifter(row: Row[Any]) -> BookedGifter:
    return BookedGifter(row.sender, int(row.gifts), int(row.coins), int(row.reached_ms))


async def active_rooms(connection: AsyncConnection, ended_s: float) -> list[str]:
    """Return the rooms that are live, or ended less than `ended_s` ago."""
    return [row.id for row in await connection.execute(_Sql.rooms, {"ended_s": ended_s})]


async def legacy_rooms(connection: AsyncConnection, ended_s: float) -> list[str]:
    """Return the rooms that may have the legacy form, live or ended less than `ended_s` ago."""
    return [row.id for row in await connection.execute(_Sql.legacy_rooms, {"ended_s": ended_s})]


def _upto(room: str, upto: Mapping[int, int]) -> dict[str, object]:
    return {"room": room, "partitions": list(upto), "upto": list(upto.values())}


async def booked_contributions(
    connection: AsyncConnection, room: str, upto: Mapping[int, int]
) -> dict[int, tuple[int, int, int]]:
    """Return gifts, coins and diamonds of a room from each partition, up to an n per partition."""
    rows = await connection.execute(_Sql.contributions, _upto(room, upto))
    return {row.partition: (int(row.gifts), int(row.coins), int(row.diamonds)) for row in rows}


async def booked_gifters(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, BookedGifter]:
    """Return the gifters of a room, up to an n per partition."""
    return {row.sender: _gifter(row) for row in await connection.execute(_Sql.ranks, _upto(room, upto))}


async def receivers_of(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """Return the diamonds that each receiver got from gifts in a room, up to an n per partition."""
    return {row.receiver: int(row.diamonds) for row in await connection.execute(_Sql.receivers, _upto(room, upto))}


async def revocations_in(connection: AsyncConnection, room: str, upto: Mapping[int, int]) -> dict[str, int]:
    """Return how many gifts of a room were revoked, and their coins and diamonds, up to an n per partition."""
    row = (await connection.execute(_Sql.revoked, _upto(room, upto))).one()
    return {"gifts": row.gifts, "coins": int(row.coins), "diamonds": int(row.diamonds)}
