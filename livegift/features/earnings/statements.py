"""A creator's statement: every transfer of the account, in the order in which it was posted.

A line belongs to the day (UTC) in which its transaction began. Transactions end within TRANSACTION_TIMEOUT_S, so a day
that ended STATEMENT_SETTLES_S ago can't get another line: it is closed, and its statement never changes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import diamonds_of
from livegift.ledger.statements import Statements
from livegift.runtime.bounds import STATEMENT_SETTLES_S, TRANSACTION_TIMEOUT_S

assert STATEMENT_SETTLES_S > TRANSACTION_TIMEOUT_S  # noqa: S101 - constants relate by assertion


class _Sql(Statements, file="statements.sql"):
    """The statements of this module."""

    page: TextClause
    groups: TextClause
    balance: TextClause
    closed: TextClause


@dataclass(frozen=True, slots=True)
class Period:
    """The time from `start` to before `end`, both at the beginning of a day (UTC)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A transfer. `key` names it and gives its place among the others; `diamonds` is signed.

    For a gift: its event's position `<partition>-<epoch>-<n>`, room, kind, coins and, unless it was anonymous, its
    sender and its batch: several aggregators book different partitions, so a batch can reveal whose gift it is. For
    other transfers, `what` is their reason and `ref` what they belong to (such as a payout).

    The order of lines of the same second reveals nothing about partitions and batches either.
    """

    key: str
    at: datetime
    what: str
    ref: str
    diamonds: int
    batch_id: int | None = None
    room: str | None = None
    gift_id: str | None = None
    count: int | None = None
    coins: int | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The gifts of one day or room, or the other transfers of one reason and day."""

    day: str
    room: str | None
    what: str
    lines: int
    coins: int
    diamonds: int


# The second, the source, and the entry: what a gift's place or a posting's id can be.
_KEY = re.compile(r"([0-9]{1,11})\.([0-9]{1,18})\.([0-9]{1,19}|[0-9]{1,4}-[0-9]{1,10}-[0-9]{1,15})")


async def is_closed(connection: AsyncConnection, period: Period) -> bool:
    """Return whether no line can be added to `period` any more."""
    return bool(await connection.scalar(_Sql.closed, {"at": period.end, "settles_s": STATEMENT_SETTLES_S}))


async def balance_at(connection: AsyncConnection, creator: str, at: datetime) -> int:
    """Return the balance of `creator` at the beginning of a day."""
    where = {"creator": creator, "account": diamonds_of(creator), "at": at}
    return int(await connection.scalar(_Sql.balance, where) or 0)


async def read_lines(connection: AsyncConnection, creator: str, period: Period, after: str, limit: int) -> list[Line]:
    """Return the lines after the line `after` ('' for the first ones).

    Raises ValueError if that is not a line's key.
    """
    where: dict[str, Any] = {
        "creator": creator,
        "account": diamonds_of(creator),
        "start": period.start,
        "end": period.end,
        "limit": limit,
        **_parse_key(after),
    }
    return [_line(row) for row in await connection.execute(_Sql.page, where)]


async def read_groups(connection: AsyncConnection, creator: str, period: Period, *, by_room: bool) -> Sequence[Group]:
    """Return the sums of lines per day and reason, of gifts also per room on request."""
    where = {
        "creator": creator,
        "account": diamonds_of(creator),
        "start": period.start,
        "end": period.end,
        "by_room": by_room,
    }
    return [
        Group(row.day, row.room, row.what, row.lines, int(row.coins), int(row.diamonds))
        for row in await connection.execute(_Sql.groups, where)
    ]


def _line(row: Row[Any]) -> Line:
    return Line(
        f"{int(row.at.timestamp())}.{row.source}.{row.entry}",
        row.at,
        row.what,
        row.ref,
        int(row.diamonds),
        row.batch_id,
        row.room,
        row.gift_id,
        row.pieces,
        row.coins,
        row.sender,
    )


def _parse_key(key: str) -> dict[str, Any]:
    if not key:
        return dict.fromkeys(("after_at", "source", "entry"))
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError("expected the key of a line")
    after_at = datetime.fromtimestamp(int(found[1]), UTC)
    return {"after_at": after_at, "source": int(found[2]), "entry": found[3]}
