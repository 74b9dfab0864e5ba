"""Rooms and users, as stored."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from livegift.ledger import tables
from livegift.ledger.engine import Database

Kind = Literal["live", "video"]
Status = Literal["live", "ended"]


@dataclass(frozen=True, slots=True)
class Room:
    """A room and its creator."""

    id: str
    creator_id: str
    creator_name: str
    title: str
    kind: Kind
    status: Status

    @property
    def is_live(self) -> bool:
        """Return whether gifts can be sent."""
        return self.status == "live"


_ROOMS = select(tables.rooms, tables.users.c.name.label("creator_name")).join(
    tables.users, tables.users.c.id == tables.rooms.c.creator_id
)


def _room(row: Row[Any]) -> Room:
    return Room(row.id, row.creator_id, row.creator_name, row.title, row.kind, row.status)


async def open_room(database: Database, room: str, creator: str, name: str, title: str, kind: str) -> tuple[Room, bool]:
    """Create a room, and its creator if necessary.

    Returns the room and whether it is new; an existing one is unchanged.
    """
    async with database.begin() as connection:
        user = insert(tables.users).values(id=creator, name=name)
        await connection.execute(user.on_conflict_do_update(index_elements=["id"], set_={"name": user.excluded.name}))
        made = await connection.execute(
            insert(tables.rooms)
            .values(id=room, creator_id=creator, title=title, kind=kind, status="live")
            .on_conflict_do_nothing()
            .returning(tables.rooms.c.id)
        )
        is_new = made.first() is not None
        row = (await connection.execute(_ROOMS.where(tables.rooms.c.id == room))).one()
    return _room(row), is_new


async def end_room(database: Database, room: str) -> bool:
    """End a room. Returns False when it had ended before."""
    async with database.begin() as connection:
        result = await connection.execute(
            update(tables.rooms)
            .where(tables.rooms.c.id == room, tables.rooms.c.status == "live")
            .values(status="ended", ended_at=func.now())
            .returning(tables.rooms.c.id)
        )
        return result.first() is not None


async def retitle_room(database: Database, room: str, title: str) -> None:
    """Change a room's title."""
    async with database.begin() as connection:
        await connection.execute(update(tables.rooms).where(tables.rooms.c.id == room).values(title=title))


async def read_room(database: Database, room: str) -> Room | None:
    """Return a room, or None."""
    async with database.begin() as connection:
        row = (await connection.execute(_ROOMS.where(tables.rooms.c.id == room))).first()
    return None if row is None else _room(row)


async def list_rooms(database: Database, after: str, limit: int) -> list[Room]:
    """Return live rooms in the order of their ids, those after `after`."""
    query = (
        _ROOMS.where(tables.rooms.c.status == "live", tables.rooms.c.id > after)
        .order_by(tables.rooms.c.id)
        .limit(limit)
    )
    async with database.begin() as connection:
        rows = (await connection.execute(query)).all()
    return [_room(row) for row in rows]


async def is_creator(database: Database, user: str) -> bool:
    """Return whether `user` has ever opened a room."""
    query = select(tables.rooms.c.id).where(tables.rooms.c.creator_id == user).limit(1)
    async with database.begin() as connection:
        return (await connection.execute(query)).first() is not None
