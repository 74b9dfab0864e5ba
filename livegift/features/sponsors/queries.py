"""Sponsor matches as stored. Every change is made under the match's row lock, with its postings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, TextClause, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.bounds import SPONSOR_MATCHES_PER_ROOM_MAX
from livegift.contract.errors import RequestError
from livegift.features.sponsors.errors import TOO_MANY_MATCHES
from livegift.features.sponsors.rules import Match, MatchTransition, Posting, end
from livegift.features.sponsors.tables import UNFINISHED
from livegift.features.sponsors.tables import sponsor_matches as table
from livegift.ledger import accounts, audit_trail, tables
from livegift.ledger.engine import Database, has_inserted
from livegift.ledger.statements import Statements


class _Sql(Statements, file="queries.sql"):
    """The statements of this module."""

    write: TextClause


@dataclass(frozen=True, slots=True)
class StoredMatch:
    """A match with the fields that only the store has. `age_s` (since its creation) is by PostgreSQL's clock.

    `cheapest_coins` is the price of the cheapest gift that it applies to, None when there is no such gift any more.
    """

    match: Match
    number: int
    request_hash: str
    sponsor_name: str
    title: str
    age_s: float
    ended_age_s: float | None
    cheapest_coins: int | None


@dataclass(frozen=True, slots=True)
class NewMatch:
    """The input of `create_match`."""

    match: Match
    request_hash: str
    sponsor_name: str
    title: str


_AGE = func.extract("epoch", func.now() - table.c.created_at).label("age_s")
_ENDED_AGE = func.extract("epoch", func.now() - table.c.ended_at).label("ended_age_s")
_CHEAPEST = (
    select(func.min(tables.gift_kinds.c.coins))
    .where(
        tables.gift_kinds.c.active,
        or_(table.c.gift_id.is_(None), table.c.gift_id == tables.gift_kinds.c.id),
    )
    .scalar_subquery()
    .label("cheapest_coins")
)
COLUMNS = (table, _AGE, _ENDED_AGE, _CHEAPEST)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def stored_of(row: Row[Any]) -> StoredMatch:
    """Convert a row of `COLUMNS`."""
    match = Match(
        row.id,
        row.room,
        row.sponsor,
        row.gift_id,
        row.factor,
        row.budget_coins,
        _ms(row.starts_at),
        _ms(row.ends_at),
        row.status,
        row.used_coins,
        row.used_diamonds,
        row.returned_coins,
        row.partition,
    )
    ended_age_s = None if row.ended_age_s is None else float(row.ended_age_s)
    return StoredMatch(
        match,
        row.number,
        row.request_hash,
        row.sponsor_name,
        row.title,
        float(row.age_s),
        ended_age_s,
        row.cheapest_coins,
    )


async def insert_match(connection: AsyncConnection, new: NewMatch) -> bool:
    """Write a match. Returns False when one with this id exists."""
    match = new.match
    values = {
        "id": match.id,
        "request_hash": new.request_hash,
        "room": match.room,
        "sponsor": match.sponsor,
        "sponsor_name": new.sponsor_name,
        "title": new.title,
        "gift_id": match.gift_id,
        "factor": match.factor,
        "budget_coins": match.budget_coins,
        "starts_at": _at(match.starts_ms),
        "ends_at": _at(match.ends_ms),
        "status": match.status,
        "ended_at": None if match.is_open else func.now(),
    }
    return await has_inserted(connection, insert(table).values(values).on_conflict_do_nothing())


async def create_match(database: Database, new: NewMatch, actor: str) -> StoredMatch:
    """Write a match for `actor`. The same id again returns what was written first, whatever is asked for now.

    Raises RequestError when the room takes no match, or the gift does not exist.
    """
    async with database.begin() as connection:
        # The room's lock makes the next one wait, so that two at once can't both be the last.
        room = await connection.execute(
            select(tables.rooms).where(tables.rooms.c.id == new.match.room).with_for_update(key_share=True)
        )
        found = room.one_or_none()
        known = (await connection.execute(select(*COLUMNS).where(table.c.id == new.match.id))).one_or_none()
        if known is not None:
            return stored_of(known)
        if found is None:
            raise RequestError("room_not_found")
        await _check(connection, found, new.match)
        await insert_match(connection, new)
        await audit_trail.note(
            connection,
            actor,
            "match.fund",
            f"match:{new.match.id}",
            {"room": new.match.room, "sponsor": new.match.sponsor, "budget_coins": new.match.budget_coins},
        )
        return stored_of((await connection.execute(select(*COLUMNS).where(table.c.id == new.match.id))).one())


async def _check(connection: AsyncConnection, room: Row[Any], match: Match) -> None:
    if room.status != "live":
        raise RequestError("room_ended")
    if room.creator_id == match.sponsor:
        raise RequestError("invalid", f"sponsor: expected somebody else than the room's creator {room.creator_id}")
    if match.gift_id is not None:
        kinds = tables.gift_kinds.c
        price = await connection.scalar(select(kinds.coins).where(kinds.id == match.gift_id, kinds.active))
        if price is None:
            raise RequestError("gift_not_found")
        if match.budget_coins < price:
            raise RequestError("invalid", f"budget_coins: expected at least the {price} coins of one {match.gift_id}")
    is_open = table.c.status.in_(("funding", "active"))
    there = await connection.scalar(select(func.count()).where(table.c.room == room.id, is_open)) or 0
    if there >= SPONSOR_MATCHES_PER_ROOM_MAX:
        raise RequestError(TOO_MANY_MATCHES, f"Room {room.id} has {there} matches, and no more at once: end one.")


async def change_match(
    database: Database, match_id: str, change: Callable[[StoredMatch], MatchTransition], actor: str | None = None
) -> StoredMatch | None:
    """Apply `change` to a match, once it is locked, and post what follows. Returns None when there is no such match.

    With `actor`, a change is recorded in the audit trail.
    """
    async with database.begin() as connection:
        query = select(*COLUMNS).where(table.c.id == match_id).with_for_update(of=table, key_share=True)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        before = stored_of(row)
        transition = change(before)
        if transition.match != before.match:
            await write_matches(connection, [transition.match])
            await write_postings(connection, transition.postings)
            await accounts.add(connection, [move for posting in transition.postings for move in posting.transfers])
            if actor is not None:
                details = {"room": before.match.room, "used_coins": before.match.used_coins}
                await audit_trail.note(connection, actor, "match.end", f"match:{match_id}", details)
        return stored_of((await connection.execute(select(*COLUMNS).where(table.c.id == match_id))).one())


async def end_match(database: Database, match_id: str, actor: str | None = None) -> StoredMatch | None:
    """End a match: no gift is matched any more. Repeating it is harmless. Returns None when there is no such match."""
    return await change_match(database, match_id, lambda found: end(found.match), actor)


async def write_matches(connection: AsyncConnection, matches: Iterable[Match]) -> None:
    """Write the state of matches that are locked."""
    rows = list(matches)
    if rows:
        await connection.execute(
            _Sql.write,
            {
                "ids": [m.id for m in rows],
                "statuses": [m.status for m in rows],
                "used_coins": [m.used_coins for m in rows],
                "used_diamonds": [m.used_diamonds for m in rows],
                "returned_coins": [m.returned_coins for m in rows],
                "partitions": [m.partition for m in rows],
                "starts": [m.starts_ms for m in rows],
            },
        )


async def write_postings(connection: AsyncConnection, postings: Iterable[Posting]) -> None:
    """Write the postings' rows; the caller adds their transfers to the accounts."""
    for posting in postings:
        await accounts.write(connection, posting.reason, posting.ref, posting.transfers)


# --- Reading ----------------------------------------------------------------------------------------------------------


async def read_match(database: Database, match_id: str) -> StoredMatch | None:
    """Return a match, or None."""
    async with database.begin() as connection:
        row = (await connection.execute(select(*COLUMNS).where(table.c.id == match_id))).one_or_none()
    return stored_of(row) if row else None


async def active_matches(database: Database, room: str) -> list[StoredMatch]:
    """Return the active matches of a room, in the order in which they are applied."""
    query = select(*COLUMNS).where(table.c.room == room, table.c.status == "active").order_by(table.c.number)
    async with database.begin() as connection:
        return [stored_of(row) for row in (await connection.execute(query)).all()]


async def list_matches(database: Database, room: str, before: int | None, limit: int) -> list[StoredMatch]:
    """Return all matches that a room ever had, newest first; those older than number `before`."""
    query = select(*COLUMNS).where(table.c.room == room).order_by(table.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.number < before)
    async with database.begin() as connection:
        return [stored_of(row) for row in (await connection.execute(query)).all()]


async def unfinished_matches(
    database: Database, older_than_s: float, younger_than_s: float, after: int, limit: int
) -> list[StoredMatch]:
    """Return matches that have waited long for their funding, or are over with coins due, after number `after`.

    Coins that have been due for longer than refs are remembered are left out: they might be given back twice.
    """
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    memory = func.make_interval(0, 0, 0, 0, 0, 0, younger_than_s)
    query = (
        select(*COLUMNS)
        .where(
            text(f"({UNFINISHED})"),
            table.c.number > after,
            or_(
                (table.c.status == "funding") & (table.c.created_at < func.now() - age),
                table.c.ended_at > func.now() - memory,
            ),
        )
        .order_by(table.c.number)
        .limit(limit)
    )
    async with database.begin() as connection:
        return [stored_of(row) for row in (await connection.execute(query)).all()]


async def matches_to_end(database: Database, grace_s: float, funding_max_s: float, limit: int) -> Sequence[str]:
    """Return the ids of open matches whose time or room ended `grace_s` ago, or whose funding takes too long."""
    grace = func.make_interval(0, 0, 0, 0, 0, 0, grace_s)
    patience = func.make_interval(0, 0, 0, 0, 0, 0, funding_max_s)
    rooms = tables.rooms.c
    query = (
        select(table.c.id)
        .outerjoin(tables.rooms, rooms.id == table.c.room)
        .where(
            table.c.status.in_(("funding", "active")),
            or_(
                table.c.ends_at < func.now() - grace,
                rooms.ended_at < func.now() - grace,
                rooms.id.is_(None),
                (table.c.status == "funding") & (table.c.created_at < func.now() - patience),
            ),
        )
        .order_by(table.c.number)
        .limit(limit)
    )
    async with database.begin() as connection:
        return list((await connection.scalars(query)).all())


async def shown_matches(database: Database, ended_s: float, after: int, limit: int) -> list[StoredMatch]:
    """Return the matches that rooms show or that ended less than `ended_s` ago, by number, after number `after`."""
    recent = table.c.ended_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ended_s)
    query = (
        select(*COLUMNS)
        .where(or_(table.c.status == "active", recent), table.c.number > after, table.c.room != "")
        .order_by(table.c.number)
        .limit(limit)
    )
    async with database.begin() as connection:
        return [stored_of(row) for row in (await connection.execute(query)).all()]
